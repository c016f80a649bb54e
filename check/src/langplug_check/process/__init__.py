"""Where checks run: a process of their own, and the loop and the guard in it."""
