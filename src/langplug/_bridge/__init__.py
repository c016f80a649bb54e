"""The shapes of a function as one stream of parts, in both colours. The only place that knows threads."""
