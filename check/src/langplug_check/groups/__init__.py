"""The checks, one file per group of statements. `statement.all_checks` imports every module in here by itself.

A module whose name begins with an underscore has no check: it holds what several groups share, so that no group
imports another.
"""
