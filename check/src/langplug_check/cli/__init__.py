"""The verbs `check` and `explain`, found by `langplug` through their entry points."""
