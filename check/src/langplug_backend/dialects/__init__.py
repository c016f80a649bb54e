"""The wires that the backend speaks, a file each."""
