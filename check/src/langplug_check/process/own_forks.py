"""The copies of this process that a check made, and ended: of these, none comes back."""

ended: list[int] = []
"""Their numbers, since somebody last looked for copies that came back."""
