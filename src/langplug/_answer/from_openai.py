"""OpenAI-shaped completions and chunks, read as parts: dicts, or the objects of an SDK with the same names.

The shape is that of the OpenAI chat-completions API (`choices[].message` whole, `choices[].delta` in a stream),
read leniently, since the servers that speak it deviate: https://platform.openai.com/docs/api-reference/chat.

Whoever calls this turns an `AttributeError`, `LookupError`, `TypeError` or `ValueError` into an error of its own: the
data do not have that shape. What is yielded has fields of the right types.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from langplug._answer.carried import add_fields
from langplug._answer.from_message import texts_in
from langplug._answer.json_data import a, to_json_data
from langplug._answer.openai_blocks import parts_of_content, reasoning_text
from langplug._answer.server_errors import error_of
from langplug._answer.stream_so_far import EMPTY, HEAD, REASONING_FIELDS, StreamSoFar
from langplug._answer.tool_calls import CallInMessage
from langplug._answer.usage import count_of
from langplug._messages.carried import THOUGHTS
from langplug._parts import Finish, Part, Reasoning, ToolCall, Usage

_BODY = frozenset({"role", "content", "tool_calls", "tool_call", "function_call", "refusal", *REASONING_FIELDS})
"""What a message or a delta holds."""

_TEXT_ALONE = frozenset({"role", "content"})

_ARGUMENTS = ("arguments", "parameters", "args", "input")
"""Where the arguments of a call are: in the first place by OpenAI's documentation, in the others by mistake."""

_CALL = frozenset({"id", "type", "index", "function", "position"})
_FUNCTION = frozenset({"name", "parsed", "parsed_arguments", "index", "description", *_ARGUMENTS})
"""What is read of a call and of its function, or need not go back. All else goes back as it came."""

_CACHE_READ = ("cache_read_input_tokens", "cache_read_tokens")
_CACHE_WRITE = ("cache_creation_input_tokens", "cache_creation_tokens", "cache_write_tokens")

_OTHERS = ("user", "system", "developer", "tool", "function")
"""Roles whose messages are not answers. Servers have more names for the assistant's than one, or leave it empty."""

_NAMES = _BODY | set(
    "choices error usage timings system_fingerprint service_tier model "  # noqa: SIM905 - shorter than a list
    "index delta message finish_reason stop_reason matched_stop logprobs "
    "token logprob bytes top_logprobs tokens token_logprobs text_offset "
    "reasoning_details thinking_blocks extra_content provider_specific_fields images audio annotations citations "
    "text summary signature data id function name arguments "
    "prompt_tokens completion_tokens total_tokens input_tokens output_tokens prompt_tokens_details "
    "completion_tokens_details cached_tokens audio_tokens reasoning_tokens image_tokens video_tokens x_groq "
    "input_tokens_details output_tokens_details prompt_cache_hit_tokens cache_read_input_tokens cache_read_tokens "
    "cache_creation_input_tokens cache_creation_tokens cache_write_tokens "
    "cache_n prompt_n predicted_n".split()
)
"""All that is looked for in what an SDK gives."""


def is_openai_shaped(value: Mapping[str, Any]) -> bool:
    """Whether `value` is a completion, a chunk or an error of the OpenAI wire."""
    # LangChain's `InvalidToolCall` has an error, too.
    return "choices" in value or ("error" in value and "type" not in value and "args" not in value)


def completion_of(value: Any) -> Mapping[str, Any] | None:
    """`value` as a completion or chunk, if it is one or a piece of one: a choice, a delta, a message or a tool call.

    None if it is not. What SDKs give counts as much as a dict: OpenAI's, Groq's and litellm's models of pydantic, and
    any other object with the same attributes.
    """
    if isinstance(value, Mapping):
        if is_openai_shaped(value):
            return value
        if isinstance(value.get("function"), Mapping | BaseModel):
            return {"choices": [{"message": {"tool_calls": [value]}}]}
        if isinstance(value.get("type"), str):  # a content block; of what OpenAI sends, only calls have a type
            return None
        names: Any = value.keys()
    elif isinstance(value, BaseMessage) or not (names := _names_of(value)):
        return None
    if "choices" in names:
        return fields_of(value)
    if not names.isdisjoint(("delta", "message")):
        return {"choices": [value]}
    if "function" in names and "name" not in names:
        return {"choices": [{"message": {"tool_calls": [value]}}]}
    # One of these alone, such as `content`, may be of anything: a response of httpx, say.
    is_body = isinstance(value, Mapping) or {"role", "content"} <= names
    if is_body and not names.isdisjoint(_BODY) and "type" not in names:
        return {"choices": [{"message": value}]}
    return None


def fields_of(value: Any) -> Mapping[str, Any]:
    """What an object holds of what the readers here look for. A mapping is its own.

    Raises:
        TypeError: If it holds nothing of that.
    """
    if isinstance(value, Mapping):
        return value
    if names := _names_of(value):
        # By attribute and not by `model_dump`, which takes longer and, with litellm's models, warns each time.
        return {name: getattr(value, name) for name in names}
    raise TypeError(f"{value!r} ({a(value)}) stands where an object should")


def misplaced_in(value: Any) -> str:
    """Which list of a completion is something else, in words; empty if none is. Looked for once reading has failed."""
    places = [value]
    for inner in ("choices", "delta", "message"):
        for place in [one for one in places if isinstance(one, Mapping) or _names_of(one)]:
            found = fields_of(place).get(inner)
            places += found if isinstance(found, list | tuple) else [found]
    for place in places:
        fields = fields_of(place) if isinstance(place, Mapping) or _names_of(place) else {}
        for name in ("choices", "tool_calls", "reasoning_details"):
            if (found := fields.get(name)) and not isinstance(found, list | tuple):
                return f"`{name}` is {a(found)}, and not a list"
    return ""


def _data_of(value: Any) -> Any:
    """`value` with dicts for its objects."""
    if value is None or isinstance(value, dict | str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_data_of(item) for item in value]
    if isinstance(value, BaseModel):  # whole, whatever is in it
        return to_json_data(value, "logprobs")
    return {name: _data_of(item) for name, item in fields_of(value).items()}


def _names_of(value: Any) -> AbstractSet[str]:
    if isinstance(value, BaseModel):  # its own `__getattr__` is slow to say no
        return (value.__dict__.keys() | (value.__pydantic_extra__ or {}).keys()) & _NAMES
    if value is None or isinstance(value, str | bytes | int | float | list | tuple | type):
        return frozenset()  # a string has an `index`
    return {name for name in _NAMES if hasattr(value, name)}


def is_chunk(value: Mapping[str, Any]) -> bool:
    """Whether `value` is a piece of a stream, and so owes a finish reason before the end."""
    return any("delta" in fields_of(choice) for choice in value.get("choices") or ())


def numbered_choices(value: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The choices of `value`, each with the number of the answer that it belongs to."""
    choices = value.get("choices") or ()
    if not isinstance(choices, Sequence) or isinstance(choices, str):  # a mock's can be iterated, and hold nothing
        raise TypeError(f"`choices` is {a(choices)}, and not a list")
    for choice in choices:
        if type(choice) is not dict:
            choice = fields_of(choice)  # noqa: PLW2901 - the same, readable
        number = choice.get("index") or 0  # some servers leave it out, or send null, where there is one answer
        if isinstance(number, str) and number.isascii() and number.isdecimal():
            number = int(number)
        if not isinstance(number, int):
            raise TypeError(f"a choice has the index {number!r}")
        yield number, choice


def parts_of(value: Mapping[str, Any], index: int = 0, so_far: StreamSoFar | None = None) -> Iterator[Part]:
    """The parts that a completion or chunk holds of the answer number `index`; of several, one is read at a time.

    Args:
        value: The completion or chunk.
        index: The number of the answer.
        so_far: What chunks before it have brought, which is kept there: a whole message after them adds what is new.

    Raises:
        ModelError: If it is an error object; of the type that fits its status code and words.
    """
    if value.get("error"):
        raise error_of(value["error"])
    so_far = so_far or StreamSoFar()
    if (citations := value.get("citations")) and isinstance(citations, list):
        so_far.citations = citations  # of Perplexity and xAI, which say them anew with each chunk
    for number, choice in numbered_choices(value):
        if number == index:
            yield from _parts_of_choice(choice, so_far, value.get("object"))
    if reason := value.get("finish_reason"):  # where some gateways have it
        yield Finish(reason=str(reason))
    if usage := usage_of(value):
        yield usage_in(usage)
    elif isinstance(timings := value.get("timings"), Mapping):
        # What llama.cpp reports with each chunk under `timings_per_token`: `prompt_n` counts without the cached ones.
        cached = _first_count(timings, "cache_n") or 0
        yield Usage(
            input_tokens=cached + (_first_count(timings, "prompt_n") or 0),
            output_tokens=_first_count(timings, "predicted_n"),
            input_token_details={"cache_read": cached},
        )
    metadata = {name: value[name] for name in ("system_fingerprint", "service_tier") if value.get(name)}
    if model := value.get("model"):
        metadata["model_name"] = model
    if metadata:
        yield Finish(metadata=metadata)


def usage_of(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The report of usage in a completion or chunk; Groq and Moonshot have it in places of their own."""
    usage = value.get("usage") or _object_at(value, "x_groq").get("usage")
    if not usage:
        choices = value.get("choices") or ()
        usage = next((fields_of(choice).get("usage") for choice in choices if choice), None)
    return None if not usage or isinstance(usage, str | int | float | list) else fields_of(usage)


def usage_in(usage: Mapping[str, Any]) -> Usage:
    """The report that `usage` is, by the names of chat completions or by those of LangChain and others.

    Raises:
        ValueError: If a count is none.
    """
    read, wrote = (
        next((found for name in names if (found := _object_at(usage, name))), {})
        for names in (
            ("prompt_tokens_details", "input_tokens_details"),
            ("completion_tokens_details", "output_tokens_details"),
        )
    )
    all_read = {**usage, **read} if read else usage
    return Usage(
        input_tokens=_first_count(usage, "prompt_tokens", "input_tokens"),
        output_tokens=_first_count(usage, "completion_tokens", "output_tokens"),
        total_tokens=_first_count(usage, "total_tokens"),
        input_token_details=_details(
            # Kimi's, DeepSeek's and Anthropic's names for what OpenAI has in the details.
            cache_read=_first_count(all_read, "cached_tokens", "prompt_cache_hit_tokens", *_CACHE_READ),
            cache_creation=_first_count(all_read, *_CACHE_WRITE),
            audio=_first_count(read, "audio_tokens"),
            image=_first_count(read, "image_tokens"),
            video=_first_count(read, "video_tokens"),
        ),
        output_token_details=_details(
            reasoning=_first_count({**usage, **wrote} if wrote else usage, "reasoning_tokens"),
            audio=_first_count(wrote, "audio_tokens"),
            image=_first_count(wrote, "image_tokens"),
        ),
    )


def answer_in(value: Mapping[str, Any], index: int) -> dict[str, Any]:
    """What a completion or chunk with several answers holds of one, as if it were the only one.

    The usage, which is that of all together, goes with the first.
    """
    choices = [{**choice, "index": 0} for number, choice in numbered_choices(value) if number == index]
    shared = () if index == 0 else ("usage", "timings")
    return {name: item for name, item in value.items() if name not in shared} | {"choices": choices}


def _parts_of_choice(  # noqa: C901, PLR0912 - one `if` a kind of part
    choice: Mapping[str, Any], so_far: StreamSoFar, kind: object
) -> Iterator[Part]:
    if choice.get("error"):  # where OpenRouter says what became of the answer
        raise error_of(choice["error"])
    delta = choice.get("delta")
    # A completion that is not a chat's has its text in the choice itself.
    body = delta or choice.get("message") or {"content": choice.get("text")}
    if type(body) is not dict:
        body = _members_of(body)
    if body.get("role") in _OTHERS:
        raise TypeError(f"its role is {body['role']!r}, and not 'assistant'")
    reason = choice.get("finish_reason") or body.get("finish_reason")
    # Some servers stream pieces as `message`: it is whole where it says so.
    is_whole = not delta and bool(choice.get("message")) and (bool(reason) or kind == "chat.completion")
    is_repeated = is_whole and (so_far.has_begun or so_far.text > 0)
    so_far.has_begun = so_far.has_begun or bool(delta)
    is_plain = body.keys() <= _TEXT_ALONE
    for thought in () if is_plain else _reasoning_in(body):
        new = _new_thought(thought.text, so_far) if is_repeated else thought.text
        if new or not is_repeated:
            if so_far.reasoning < HEAD:
                so_far.thoughts.write(new[: HEAD - so_far.reasoning])
            so_far.reasoning += len(new)
            yield replace(thought, text=new) if is_repeated else thought
    has_more = not (is_plain or body.keys() <= _BODY)
    if has_more:
        yield from so_far.carried_parts({**body, "content": None}, is_whole=is_whole)
    content = body.get("content")
    if isinstance(content, str):
        if text := _new_text(content, so_far.text, so_far.head.getvalue()) if is_repeated else content:
            if reason and delta and so_far.is_replay(text):
                text = ""  # of Rapid-MLX
            so_far.add_text(text)
            cited = so_far.take_citations(body, text) if is_whole else None
            if cited or text:
                yield cited or text
    elif content:
        yield from _parts_of_blocks(content, so_far, is_repeated=is_repeated)
    if has_more:
        yield from so_far.other_parts(body, is_whole=is_whole, is_repeated=is_repeated)
    if (refusal := body.get("refusal")) and not (is_repeated and so_far.has_refusal):
        so_far.has_refusal = True
        yield {"type": "refusal", "refusal": str(refusal)}
    for position, call in enumerate(_calls_in(choice, body)):
        yield _tool_call(call, position if is_whole else None)
    if logprobs := choice.get("logprobs"):
        # As a dict, since an object of each chunk could not be added to that of the last.
        yield Finish(metadata={"logprobs": _data_of(logprobs)})
    if reason:
        # The stop string that was met, where the server says: vLLM's and SGLang's names for it. Both put the number
        # of a token there if it was that.
        stops = (choice.get(name) for name in ("stop_reason", "matched_stop"))
        yield Finish(reason=str(reason), stop_sequence=next((stop for stop in stops if isinstance(stop, str)), None))


_AFTER_TAGS = re.compile(r"\s*[<\[].*(?:</[^<>]*>|\[/[^\[\]]*\]|\|>)\s*", re.DOTALL)
"""Reasoning in tags before the text, which a server that streams it so may leave out of the message at the end."""


def _new_thought(whole: str, so_far: StreamSoFar) -> str:
    """What the reasoning of a message adds to that of its stream, where it may have come in tags, as text."""
    tags = None if so_far.reasoning else _AFTER_TAGS.match(so_far.head.getvalue())
    if tags and whole.strip() in tags[0]:
        return ""
    return _new_text(whole, so_far.reasoning, so_far.thoughts.getvalue())


def _new_text(whole: str, count: int, head: str) -> str:
    """What the text of a message adds to what has come of it: `count` characters, which begin with `head`.

    The message may write them otherwise: with other blanks, or without the tags and the reasoning in them. What does
    not repeat them at all is one more piece: some servers stream pieces as messages.
    """
    if whole.startswith(head):
        return whole[count:]
    tags = _AFTER_TAGS.match(head)
    starts = (0, len(head) - len(head.lstrip()), *((tags.end(),) if tags else ()))
    if count > len(head):  # all but the beginning is known by its length alone
        start = next((start for start in starts if head[start:] and whole.startswith(head[start:])), None)
        return whole if start is None and len(whole) < count / 2 else "" if start is None else whole[count - start :]
    said = "".join(whole.split())
    for start in starts:
        known = head[start:]
        if not (letters := "".join(known.split())):
            continue
        if said.startswith(letters):
            at = found = 0
            while found < len(letters):
                found += not whole[at].isspace()
                at += 1
            rest = whole[at:]
            return "" if rest.isspace() else rest.lstrip() if known[-1].isspace() else rest
        # Written otherwise, it is still the same where most of it is.
        pairs = zip(said, letters, strict=False)
        same = next((at for at, (mine, other) in enumerate(pairs) if mine != other), min(len(said), len(letters)))
        if same * 2 >= max(len(said), len(letters)) or (same == len(said) >= 16):
            return ""
    return whole


def _calls_in(choice: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """The calls of a choice: in its message or delta, or beside that, as some gateways put them; a single one, too."""
    calls: Any
    for holder in (body, choice):
        for name in ("tool_calls", "tool_call"):
            if calls := holder.get(name):
                is_call = isinstance(calls, Mapping) or not isinstance(calls, list | tuple | str | int | float)
                return [calls] if is_call else calls
    # OpenAI's own before it had tools; older servers still send it, and some beside `tool_calls` with the same call.
    function = body.get("function_call")
    return [{"function": function}] if function else ()


def _reasoning_in(body: Mapping[str, Any]) -> Iterator[Reasoning]:
    said = next((text for name in REASONING_FIELDS if isinstance(text := body.get(name), str)), None)
    if said is None:  # some send it as an object, or as a list of objects or texts
        held = [one for name in REASONING_FIELDS if isinstance(one := body.get(name), dict | list)]
        thoughts = [one for value in held for one in (value if isinstance(value, list) else [value])]
        said = "".join(reasoning_text(one) if isinstance(one, dict) else texts_in(one) for one in thoughts) or None
    if said:
        yield Reasoning(said)
    details: Any = body.get("reasoning_details") or body.get("thinking_blocks") or ()
    for detail in [details] if isinstance(details, str | Mapping | BaseModel) else details:
        # OpenRouter's details repeat the text of `reasoning`, and add what has to be sent back with it.
        if isinstance(detail, str):
            detail = {"text": detail}  # noqa: PLW2901 - the same, readable
        elif isinstance(detail, Mapping | BaseModel):
            detail = fields_of(detail)  # noqa: PLW2901
        else:  # it goes back as it came, and is not worth the answer
            continue
        text = "" if said is not None else reasoning_text(detail)
        extras = {key: detail[key] for key in ("signature", "id", "data") if detail.get(key)}
        if text or extras.keys() - {"id"}:
            yield Reasoning(str(text), extras or None)


def _parts_of_blocks(content: Any, so_far: StreamSoFar, *, is_repeated: bool) -> Iterator[Part]:
    if isinstance(content, Mapping):  # a single part
        content = [content]
    if not isinstance(content, list | tuple):
        raise TypeError(f"the content is {content!r}")
    thoughts = [part for part in content if isinstance(part, Mapping) and part.get("type") in THOUGHTS]
    if thoughts:
        yield from so_far.carried_parts({"content": thoughts}, is_whole=is_repeated)
    for part in parts_of_content(content):
        if isinstance(part, str):
            if is_repeated and so_far.text:
                continue
            so_far.add_text(part)
        elif isinstance(part, dict) and part.get("annotations"):
            so_far.note_sources(part)
        yield part


def _members_of(value: Any) -> Mapping[str, Any]:
    """All that an object of an SDK holds, of which some may have to go back; of another, what is looked for."""
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.__pydantic_extra__ or {})}
    return fields_of(value)


def _tool_call(call: Any, position: int | None) -> ToolCall:
    """A call, or a fragment of one; of a whole message, with its `position` there."""
    if type(call) is not dict:
        call = _members_of(call)
    function = call.get("function") or {}
    if isinstance(function, str):
        function = {**call, "name": function}
    elif type(function) is not dict:
        function = _members_of(function)
    extras: dict[str, Any] = {}
    if not (call.keys() <= _CALL and function.keys() <= _FUNCTION):
        # What is not known goes back as it came: a thought signature, say.
        is_nested = function and not isinstance(call.get("function"), str)
        known = _CALL if is_nested else _CALL | _FUNCTION
        add_fields(extras, {key: item for key, item in call.items() if key not in known and item not in EMPTY})
        inner = {key: item for key, item in function.items() if key not in _FUNCTION and item not in EMPTY}
        if is_nested and inner:
            add_fields(extras, {"function": inner})
    if not function:  # some servers put the name and the arguments right into the call
        function = call
    name, call_id = function.get("name") or None, call.get("id")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"a tool call has the name {name!r}")
    args = next((args for key in _ARGUMENTS if (args := function.get(key)) is not None), None)
    call_id = str(call_id) if call_id else None  # a number, from some servers
    if position is not None:
        index = call.get("index")
        return CallInMessage(name=name, args=args, id=call_id, index=index, extras=extras or None, position=position)
    return ToolCall(name=name, args=args, id=call_id, index=call.get("index"), extras=extras or None)


def _first_count(counts: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        if (count := counts.get(name)) is not None:
            return count_of(name, count)
    return None


def readable_counts(usage: Mapping[str, Any]) -> dict[str, Any]:
    """What of a server's report are counts: an odd one, such as -1 or a text, must not cost the answer."""
    counts: dict[str, Any] = {}
    for name, count in usage.items():
        if type(count) is int and 0 <= count < 2**63:  # as nearly all are
            counts[name] = count
        elif isinstance(count, Mapping):
            if name.endswith("_details"):
                counts[name] = readable_counts(count)
        elif isinstance(count, str) and count.isascii() and count.isdecimal() and len(count) < 19:
            counts[name] = int(count)
        else:
            with suppress(ValueError):
                counts[name] = count_of(name, count)
    return counts


def _object_at(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What is at `name`, if it is an object; else nothing."""
    found = holder.get(name)
    return {} if not found or isinstance(found, str | int | float | list) else fields_of(found)


def _details(**counts: int | None) -> dict[str, int | None] | None:
    return {name: count for name, count in counts.items() if count is not None} or None
