"""What comes back: an author's parts, made into clean pieces and then into LangChain's messages.

Push parsers without I/O: feed in, pieces out, the same however the input is cut. Sync and async share each of them.
Bytes become parts elsewhere (`_stream`), and calls written in text are read in `_tools`.
"""
