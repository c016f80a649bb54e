"""The formats in which models write calls, one a file; `registry` finds them.

Each declares its `FORMAT`, and in `SPOKEN_BY` the models that write in it (None: no model is recognised by it). What
several of them share is next door: `json_calls` and `tags`.
"""
