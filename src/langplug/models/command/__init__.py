"""`ChatCommand`: any program as a chat model.

`model.py` holds the class; the rest is what it gives the program (`input.py`), what it reads (`output.py`, `ansi.py`),
how the program runs (`process.py`, `process_group.py`) and what can go wrong (`errors.py`).
"""
