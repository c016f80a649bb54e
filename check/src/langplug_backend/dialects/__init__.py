"""The wires that the backend speaks, a file each. `routes` loads every file of this folder that has a `DIALECT`."""
