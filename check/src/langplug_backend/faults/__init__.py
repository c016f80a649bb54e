"""What can go wrong, a function each. `kind` has the decorator, `table` loads every file of this folder."""
