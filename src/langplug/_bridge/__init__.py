"""From the four shapes of a Python function to one stream of parts, in both colours. Threads are known only here."""
