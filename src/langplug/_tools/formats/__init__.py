"""The formats in which models write calls, one file a grammar; `registry` finds them.

Each file declares its `FORMATS`. Which models write in them is said in `langplug._families`, one line a family. What
formats are made of is next door: `shapes`, `call_templates` and `json_calls`.
"""
