"""From the four shapes of a Python function to one stream of parts, in both colours. The only place that knows threads."""
