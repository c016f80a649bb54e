"""Bytes to values to parts: push parsers of the bodies that servers and programs send, without I/O.

Who fetches the bytes is not known here (`_http`, `models/command`), nor what becomes of the parts (`_answer`).
"""
