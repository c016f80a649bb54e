"""Ready bytes, for servers that know no model: the least that a stream of Chat Completions can cost."""

from typing import Final

from servers.said import WORD

_CHUNK = (
    'data: {"id":"chatcmpl-0123456789abcdef0123456789abcdef","created":1780000000,"model":"m",'
    '"object":"chat.completion.chunk","choices":[{"index":0,"logprobs":null,"delta":%s,"finish_reason":%s}]}\n\n'
)
ROLE: Final = (_CHUNK % ('{"role":"assistant","content":""}', "null")).encode()
TOKEN: Final = (_CHUNK % (f'{{"content":"{WORD}"}}', "null")).encode()
END: Final = (_CHUNK % ("{}", '"stop"')).encode() + b"data: [DONE]\n\n"
