"""`ChatCommand`: any program as a chat model. Its input, its output, its process; `model.py` holds the class."""
