"""The formats in which models write calls; `registry` finds them.

Each file declares its `FORMAT`. Which models write in it is said in `langplug._families`, one line a family. What
several of them share is next door: `json_calls` and `tags`.
"""
