"""The checks, one file a group. What is put here is found by itself: see `statement`."""
