"""What models behind HTTP share: the client, the request, retries, credentials, and the dialects of conversations.

Bodies of answers are read in `_stream`; the models themselves live in `models/`.
"""
