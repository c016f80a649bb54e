"""`ChatGGUF`: local weights in a GGUF file.

The class (`model.py`), the engine, the file's header, the weights that can be pulled.
"""
