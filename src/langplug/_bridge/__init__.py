"""The four shapes of a function as one stream of parts, in both colours, and what that takes: threads, loops, queues.

The only place that knows threads. What the parts mean is read in `_answer`.
"""
