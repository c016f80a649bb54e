"""A model server on loopback that speaks the OpenAI, Ollama and Anthropic dialects, and misbehaves on command.

Three ways to say what happens: `Backend.reply` and `Backend.fault` for every request, `Backend.queue` for the next
ones, and, for models that can be given a prompt alone, markers in the last text of the user::

    [[say some words]]               says them
    [[think some words]]             thinks them
    [[call add {"a": 1}]]            calls the tool, unless its result is there
    [[empty]]                        says nothing
    [[words 50]]                     says so many words
    [[pace 0.02]]                    seconds between the events
    [[finish length]]                the finish reason
    [[usage 12 34]]                  tokens read and written
    [[usage_mode running]]           when usage is reported
    [[stop_mode ignore]]             what happens at a stop string
    [[thoughts tags]]                where reasoning goes (OpenAI)
    [[status 429]]                   an HTTP error status, in the dialect's shape
    [[status_text 429]]              an HTTP error status with plain text
    [[status_html 429]]              an HTTP error status with a page, as proxies send it
    [[status_empty 429]]             an HTTP error status with an empty body
    [[auth]]                         the key is wrong
    [[auth_echo]]                    the key is wrong, and the error repeats it
    [[auth_until sk-old]]            the key is wrong until another one comes
    [[content_policy]]               the prompt breaks the content policy
    [[context_overflow]]             the prompt is too long
    [[invalid_request]]              the request is wrong
    [[not_found]]                    there is no such model
    [[overloaded]]                   the server is overloaded
    [[permission]]                   the key may not do this
    [[quota]]                        the account is used up
    [[rate_limit 1]]                 too many requests
    [[server_error]]                 the server has an error
    [[refuse_field stream_options]]  requests with a field are refused, by its name
    [[close_at_accept]]              the connection is closed as soon as it is there
    [[reset_at_accept]]              the connection is reset as soon as it is there
    [[close_before_headers]]         the connection closes in place of an answer
    [[reset_before_headers]]         reset in place of an answer
    [[reset_after_headers]]          reset behind the headers
    [[reset 3]]                      reset behind so many pieces
    [[stall_before_headers]]         silence in place of an answer
    [[stall_after_headers]]          silence behind the headers
    [[stall 3]]                      silence behind so many pieces
    [[slow 0.05]]                    a pause before each event, in seconds
    [[slow_headers 0.05]]            the headers come byte by byte, a pause before each, in seconds
    [[cut_chunked 3]]                a chunked body without its last chunk, behind so many pieces
    [[cut_close 3]]                  a body that ends by closing, cut in the middle of an event behind so many pieces
    [[cut_length 3]]                 a body shorter than its content-length
    [[truncate 3]]                   a clean end behind so many pieces, without finish reason and end marker
    [[truncate_done 3]]              a clean end behind so many pieces, without finish reason, but with the end marker
    [[no_finish]]                    no finish reason, but the end marker
    [[no_done]]                      no end marker (`[DONE]`, `message_stop`) behind the finish reason
    [[malformed 3]]                  an event with broken JSON behind so many pieces
    [[error_event 3]]                an error as an event behind so many pieces, and then the end
    [[error_object]]                 status 200 with an error object
    [[empty_body]]                   status 200 with an empty body
    [[json_for_stream]]              a whole JSON answer to a request for a stream
    [[stream_for_json]]              a stream in place of a whole JSON answer
    [[wrong_type]]                   the content type says text/plain
    [[extra_fields]]                 fields that nobody knows, on every level
    [[huge_event 7]]                 the first piece comes in an event of 1 MB, or of so many bytes
    [[crlf]]                         lines end in CRLF
    [[cr]]                           lines end in CR
    [[comments]]                     comments (NDJSON: blank lines) between the events
    [[pings]]                        events without content between the events
    [[multiline]]                    the JSON of an event over several `data` lines
    [[no_space]]                     no space behind `data:`
    [[fields]]                       `event`, `id` and `retry` with each event
    [[bom]]                          a byte order mark first
    [[unterminated]]                 the last event lacks its line ends
    [[split 7]]                      so many bytes a write (3 where not said): characters are cut anywhere
    [[one_byte]]                     one byte a write
    [[joined]]                       everything in one write
    [[finish_empty_first]]           every event but the last has the finish reason ''
    [[finish_in_delta]]              the finish reason is in the delta
    [[finish_top_level]]             the finish reason is beside the choices
    [[finish_on_usage]]              the finish reason comes with the usage
    [[finish_repeated]]              the finish reason comes on three events
    [[finish_stop_for_calls]]        the finish reason of tool calls is 'stop' (`end_turn`)
    [[calls_interleaved]]            fragments of parallel calls take turns
    [[calls_no_index]]               fragments of calls have no index
    [[calls_no_ids]]                 calls have no id
    [[calls_name_repeated]]          each fragment of a call has its name
    [[calls_ids_repeated]]           each fragment of a call has its id
    [[calls_args_object]]            arguments are an object, not a string
    [[calls_args_double]]            arguments are JSON in JSON
    [[calls_args_truncated]]         arguments are cut off

Every marker from `status` on is a kind of `Fault`; `FAULTS` says more of each. Faults in the connection strike whole
answers too, in the middle of their JSON. What has no meaning in a dialect answers with status 501.

`python -m langplug_backend` runs it in a process of its own, and so does `BackendProcess`.
"""

from langplug_backend.faults.fault import Fault
from langplug_backend.faults.table import FAULTS, Kind
from langplug_backend.log import Exchange
from langplug_backend.markers import MARKERS, Marker
from langplug_backend.process import BackendProcess
from langplug_backend.reply import Call, Reply, Thought, Tokens
from langplug_backend.request import Asked, Said
from langplug_backend.server import Backend

__all__ = [
    "FAULTS",
    "MARKERS",
    "Asked",
    "Backend",
    "BackendProcess",
    "Call",
    "Exchange",
    "Fault",
    "Kind",
    "Marker",
    "Reply",
    "Said",
    "Thought",
    "Tokens",
]
