"""Servers that are wrong in one way each: `Backend(strict=True, wrong="no_done")`."""
