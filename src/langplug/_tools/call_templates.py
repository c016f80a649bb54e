r"""Calls whose name stands in the markup, as templates: `<tool_call>{name}\n{arguments}</tool_call>`.

A template says how a call is written, and how it is read follows from it. Its text is matched piece by piece, with any
blanks between; what stands after the arguments closes the call. The fields, besides `{name}` and `{arguments}`:

* `{id}`: `:` and an id, as Kimi has it behind a name;
* `«text»`: text that may be missing;
* `{*text}`: text that may be anything else instead, up to what follows in the template.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

from langplug._parts import ToolCall
from langplug._tools.json_calls import JsonCalls
from langplug._tools.literals import arguments_of, literal, read_value
from langplug._tools.markup import BoundTools, Found, Markup
from langplug._tools.references import Schema, as_schema, resolve
from langplug._tools.scanner import Read, Scanner
from langplug._tools.schema import convert_argument, dump
from langplug._tools.shapes import ClosedReader, Place, WrittenCall

_FIELD = re.compile(r"\{(name|arguments|id)\}|\{\*(.*?)\}|«(.*?)»|([^{«]+|.)", re.DOTALL)
_NAME = re.compile(r"[\w.:/-]")
"""What a name goes on with. Tools may be called `get` and `get_time`, `fs.read` and `fs.read-all`."""
_ID = re.compile(r"[:\w.-]*")
_KIMI_ID = re.compile(r"(?::functions\.[\w.-]+)?:[\w-]*\d[\w-]*|")
"""`:0`, `:call_1`, or a whole id of Kimi's own. `get:zone` is another tool, `get:0` a call of `get`."""
_HEADER = re.compile(r"\s*(?:(?:json|code)\b\s*)?(?:<\|\w+\|>[\w\s]*)*")
"""What a wildcard right after a name may be: the rest of harmony's header, ` <|constrain|>json`, and no more words."""
_TAGS = re.compile(r"\s*\n\s*|(?<=[>}`])(?=<)")
_PADDED = re.compile(r"\r?\n(.*?)\r?\n", re.DOTALL)


class ArgumentStyle(Protocol):
    """How the arguments of a call are written and read."""

    def write(self, args: Mapping[str, Any]) -> str:
        """The arguments."""
        ...

    def begins(self) -> str:
        """The characters with which arguments may begin, as a pattern."""
        ...

    def read(self, scanner: Scanner, schema: Schema, closers: Sequence[str]) -> Read[dict[str, Any] | None]:
        """The arguments of the tool whose schema it is; None if they are broken or cut off."""
        ...


@dataclass(frozen=True, slots=True)
class JsonArguments:
    """Arguments as one JSON object."""

    def write(self, args: Mapping[str, Any]) -> str:
        """The object."""
        return dump(args)

    def begins(self) -> str:
        """An object, or a string that holds one."""
        return r"[{\"']"

    def read(self, scanner: Scanner, schema: Schema, closers: Sequence[str]) -> Read[dict[str, Any] | None]:
        """The object; where the call is closed at once, there are no arguments."""
        text, is_whole = yield from read_value(scanner, in_tag=any(closer[0] == "<" for closer in closers))
        if not text:
            return {} if (yield from scanner.one_of(closers)) else None
        return arguments_of(text) if is_whole else None


@dataclass(frozen=True, slots=True)
class TagArguments:
    """Arguments with a tag for each: `<arg_key>{key}</arg_key><arg_value>{value}</arg_value>`.

    A value is text, and the tool's schema says what it is; what does not fit the schema, or is not in it, stays text.
    Instead of tags there may be one JSON object.

    Attributes:
        text: The template, with `{key}` and `{value}`, and perhaps `{string}` (whether it is one) or `{type}`.
        pads: Whether a value stands on lines of its own, so that one newline at each end is not part of it. Else
            that is so if there is one at both ends.
        cdata: Whether a value may be wrapped in `<![CDATA[...]]>`, as one with tags in it is.
        json_opener: What may stand before that one JSON object.
    """

    text: str
    pads: bool = False
    cdata: bool = False
    json_opener: str = ""

    def write(self, args: Mapping[str, Any]) -> str:
        """A tag for each."""
        return "".join(self._write_one(key, value) for key, value in args.items())

    def _write_one(self, key: str, value: Any) -> str:
        written = value if isinstance(value, str) else dump(value)
        is_verbatim = "{string}" in self.text or "{type}" in self.text
        if self.pads or (_PADDED.fullmatch(written) and not is_verbatim):
            written = f"\n{written}\n"
        if self.cdata and "<" in written and "]]>" not in written:
            written = f"<![CDATA[{written}]]>"
        fields = {
            "key": key,
            "value": written,
            "string": dump(isinstance(value, str)),
            "type": _JSON_TYPES[type(value)],
        }
        return re.sub(r"\{(\w+)\}", lambda found: fields[found[1]], self.text)

    def begins(self) -> str:
        """The opening tag of an argument."""
        return re.escape(self.text[0])

    def read(self, scanner: Scanner, schema: Schema, closers: Sequence[str]) -> Read[dict[str, Any] | None]:
        """The arguments, up to the end of the call."""
        is_json = self.json_opener and (yield from scanner.skip(self.json_opener))
        if is_json or (yield from scanner.peek()) == "{":
            yield from scanner.blanks()
            args = yield from JsonArguments().read(scanner, schema, closers)
            return args
        parts = _ArgumentParts.of(self.text)
        args = {}
        tags = frozenset((parts.opener, *closers))
        while True:
            yield from scanner.blanks()
            tag = yield from scanner.one_of(tags)
            if tag != parts.opener:
                # small models forget the closing tag of a call: one around it ends the call as well
                return args if tag else None
            key, is_whole = yield from scanner.until(parts.after_key)
            kind = ""
            if parts.has_attributes:
                kind, is_whole = yield from scanner.until(parts.before_value)
            elif parts.before_value:
                is_whole = yield from scanner.skip(parts.before_value)
            if not is_whole:
                return None
            value, is_whole = yield from scanner.until(parts.closer)
            while is_whole and self.cdata and value.lstrip().startswith("<![CDATA[") and "]]>" not in value:
                more, is_whole = yield from scanner.until(parts.closer)  # the tag is a part of the value
                value += parts.closer + more
            if not is_whole:
                return None
            args[key.strip()] = self._convert(value, key.strip(), kind, schema)

    def _convert(self, value: str, key: str, kind: str, schema: Schema) -> Any:
        if 'string="true"' in kind or 'type="string"' in kind:
            return value  # to the letter, as the model says
        if self.pads:
            newline = "\r\n" if value.startswith("\r\n") else "\n"
            value = value.removeprefix(newline).removesuffix(newline)
        elif padded := _PADDED.fullmatch(value):
            value = padded[1]
        if self.cdata and value.strip().startswith("<![CDATA[") and value.strip().endswith("]]>"):
            value = value.strip()[9:-3]
        if "string=" in kind or "type=" in kind:
            parsed = literal(value)
            return convert_argument(value, key, schema) if parsed is None and value.strip() != "null" else parsed
        return convert_argument(value, key, schema)


@dataclass(frozen=True, slots=True)
class NestedTagArguments:
    """Arguments as tags that bear their names, nested as deep as the values are: `<city>Oslo</city>`, with `<item>`s.

    Attributes:
        token: What stands before each tag.
    """

    token: str

    def write(self, args: Mapping[str, Any]) -> str:
        """A tag for each; lists and objects as JSON, which is read as well, since any key may stand in them."""
        written = ((key, value if isinstance(value, str) else dump(value)) for key, value in args.items())
        tags = [f"{self.token}<{key}>{value}{self.token}</{key}>" for key, value in written]
        return "\n".join(["", *tags, ""]) if tags else ""

    def begins(self) -> str:
        """The token."""
        return re.escape(self.token[0])

    def read(self, scanner: Scanner, schema: Schema, closers: Sequence[str]) -> Read[dict[str, Any] | None]:
        """The arguments, up to the end of the call."""
        body, is_whole = yield from scanner.until(closers[0])
        return self._parse(body, schema) if is_whole else None

    def _parse(self, body: str, schema: Schema) -> dict[str, Any] | None:
        """What the tags of `body` hold; None if they do not match."""
        tag = re.compile(rf"{re.escape(self.token)}\s*<(/?)([^<>]+)>")
        # of each open tag its key, its schema, what is in it, and where its text begins
        open_tags: list[tuple[str, Schema, list[tuple[str, Any]], int]] = [("", schema, [], 0)]
        for found in tag.finditer(body):
            key, known, inside, start = open_tags[-1]
            if not found[1]:
                inner = as_schema(as_schema(known.get("properties")).get(found[2])) or as_schema(known.get("items"))
                open_tags.append((found[2], resolve(inner, schema), [], found.end()))
                continue
            if found[2] != key or len(open_tags) == 1:
                return None
            open_tags.pop()
            value: Any = body[start : found.start()]
            if inside:
                is_list = all(name == "item" for name, _ in inside)
                value = [each for _, each in inside] if is_list else dict(inside)
            else:
                value = convert_argument(value, key, {**schema, "properties": {key: known}})
            open_tags[-1][2].append((key, value))
        return dict(open_tags[0][2]) if len(open_tags) == 1 else None


class _ArgumentParts(NamedTuple):
    """What of an argument's template is looked for."""

    opener: str
    after_key: str
    has_attributes: bool
    before_value: str
    closer: str

    @classmethod
    def of(cls, text: str) -> "_ArgumentParts":
        opener, _, rest = text.partition("{key}")
        between, _, after = rest.partition("{value}")
        if between.startswith('"'):  # the key is an attribute, which others may follow
            return cls(opener, '"', True, between.rpartition('"')[2], after.strip())
        after_key, *before_value = between.split()
        return cls(opener, after_key, False, "".join(before_value), after.strip())


_JSON_TYPES = {
    str: "string", bool: "boolean", int: "number", float: "number", dict: "object", list: "array", type(None): "null",
}  # fmt: skip


class _Step(NamedTuple):
    kind: str  # the name of a field, "any", "optional" or "word"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTemplate:
    """Calls of one template.

    Attributes:
        call: The template.
        section: What stands around the calls of one answer, with `{calls}`.
        separator: What stands between two calls.
        arguments: How the arguments are written and read.
        openers: What may stand before a call as well.
        closers: What may stand after a call as well.
        frames: Tags around the text that a user is to see, which are left out of it.
        where: Where a call may begin.
    """

    call: str
    section: str = "{calls}"
    separator: str = "\n"
    arguments: ArgumentStyle = field(default_factory=JsonArguments)
    openers: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    where: Place = "anywhere"

    def write(self, calls: Sequence[WrittenCall]) -> str:
        """Calls that were made at once."""
        return self.section.replace("{calls}", self.separator.join(self._write_one(*call) for call in calls))

    def _write_one(self, name: str, args: Mapping[str, Any] | str, call_id: str) -> str:
        written = args if isinstance(args, str) else self.arguments.write(args)
        values = {"name": name, "arguments": written, "id": f":{call_id or 0}"}
        return "".join(values.get(step.kind, step.text) for step in _steps(self.call))

    def markups(self) -> Sequence[Markup]:
        """What a call, or a section of them, begins with, and all that may stand after one."""
        before, _, after = self.call.partition("{arguments}")
        own_closers = [step.text.strip() for step in _steps(after)]
        section, _, section_end = self.section.partition("{calls}")
        first, *steps = _steps(before)
        opener, _, more = first.text.strip().partition("\n")  # other blanks may stand there than the template has
        steps = [_Step("word", more), *steps] if more else steps
        closers = [tag for text in (*own_closers, section_end, *self.closers) for tag in _TAGS.split(text) if tag]
        leads = [tag for text in (*self.openers, section) for tag in _TAGS.split(text) if tag]
        in_section = "" if not section_end.strip() else _TAGS.split(section_end.strip())[0]
        reader = _CallReader(self.arguments, opener, tuple(steps), tuple(closers), frozenset(leads), in_section)
        return (
            Markup(reader.opener, reader.read, self.where, reader.follows()),
            *[Markup(lead, partial(reader.read_lead, lead), self.where, reader.follow_lead(lead)) for lead in leads],
            *([Markup(reader.opener, reader.read, "after a call")] if self.where == "line start" else []),
            *[Markup(closer, where="after a call") for closer in closers],
            *(reader.json_calls.after_call() if reader.may_be_json else []),
            *map(Markup, self.frames),
        )


@lru_cache(maxsize=256)
def _steps(text: str) -> tuple[_Step, ...]:
    """The pieces of a template."""
    steps: list[_Step] = []
    for found in _FIELD.finditer(text):
        name, anything, optional, word = found.groups()
        if name:
            steps.append(_Step(name, name))
        elif anything is not None:
            steps.append(_Step("any", anything))
        elif optional is not None:
            steps.append(_Step("optional", optional))
        elif steps and steps[-1].kind == "word":
            steps[-1] = _Step("word", steps[-1].text + word)
        else:
            steps.append(_Step("word", word))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class _CallReader:
    """Reads a call of a template.

    Attributes:
        arguments: How its arguments are read.
        opener: What it begins with.
        steps: What follows, up to the arguments.
        closers: What may stand after the arguments.
        leads: What may stand before the opener.
        section_end: What closes a section.
    """

    arguments: ArgumentStyle
    opener: str
    steps: tuple[_Step, ...]
    closers: tuple[str, ...]
    leads: frozenset[str]
    section_end: str

    @property
    def may_be_json(self) -> bool:
        """Whether models may write Hermes' JSON in place of what is asked for: tags alone do not tell."""
        return bool(self.leads) or self.steps[0].kind == "name"

    @property
    def json_calls(self) -> JsonCalls:
        """How they write it."""
        return JsonCalls(sure=True, closer=self.section_end or (self.closers[0] if self.closers else ""))

    def follows(self) -> str:
        """What can stand after the opener."""
        first = self.steps[0]
        if first.kind == "name":
            return r"[\w{\[]"  # JSON that a model writes instead has no other place
        if first.kind == "optional":
            return rf"\w|{re.escape(first.text[0])}"
        return "" if first.kind == "any" else re.escape(first.text.strip()[0])

    def follow_lead(self, lead: str) -> str:
        """What can stand after a lead."""
        words = sorted(self._after_lead(lead))
        return "|".join([r"[{\[]", *(rf"{re.escape(word[0])}(?:{re.escape(word[1])}|\Z)" for word in words)])

    def _after_lead(self, lead: str) -> frozenset[str]:
        return self.leads - {lead} | {self.opener}

    def read_lead(self, lead: str, scanner: Scanner, tools: BoundTools) -> Read[Found]:
        """The first call of a section; `lead`, which opens it, was read."""
        while True:
            yield from scanner.blanks()
            start = len(scanner.marked())
            if (yield from scanner.peek()) in ("{", "["):
                closed = ClosedReader(self.json_calls, " " * start, self.json_calls.closer)
                return (yield from closed.read(scanner, tools))
            word = yield from scanner.one_of(self._after_lead(lead))
            if word is None:
                return None
            if word == self.opener:
                return (yield from self._read(scanner, tools, start + len(word)))
            lead = word

    def read(self, scanner: Scanner, tools: BoundTools) -> Read[Found]:
        """A call; its opener was read."""
        return (yield from self._read(scanner, tools, len(self.opener)))

    def _read(self, scanner: Scanner, tools: BoundTools, start: int) -> Read[Found]:
        """A call; `start` characters were passed with its opener.

        The closing tag ends it, except within a JSON string. If such a string is never closed, the answer is read again
        from the call on, and from there on a closing tag ends a call wherever it stands.
        """
        # what stands before arguments as well, such as backticks, does not tell their end
        unique = tuple(tag for tag in self.closers if not any(tag in step.text for step in self.steps))
        if not unique:
            return (yield from self._read_once(scanner, tools))
        ends = re.compile("|".join(map(re.escape, unique)))
        if not scanner.rewound:
            calls = yield from self._read_once(scanner, tools)
            is_broken = any(isinstance(call.args, str) for call in calls or ())
            if not is_broken or not scanner.at_end or not ends.search(scanner.marked()):
                return calls
            scanner.rewind(start)
        # arguments in tags are whole only with the closing tag
        scanner.narrow(ends, with_end=not isinstance(self.arguments, JsonArguments))
        calls = yield from self._read_once(scanner, tools)
        scanner.widen()
        return calls

    def _read_once(self, scanner: Scanner, tools: BoundTools) -> Read[Found]:
        if self.steps[0].kind == "name":
            yield from scanner.blanks()
            if (yield from scanner.peek()) in ("{", "["):
                return (yield from self.json_calls.read_any(scanner, tools))
        name, is_certain = yield from self._read_head(scanner, tools)
        if not name:
            return None
        head = scanner.marked()
        if not scanner.at_end:
            yield from scanner.blanks()
            char = yield from scanner.peek()
            is_certain = is_certain or any(closer.startswith(char) for closer in self.closers)
            if not is_certain and not re.match(self.arguments.begins(), char):
                return None
            args = yield from self.arguments.read(scanner, tools[name], self.closers)
            if args is not None:
                return [ToolCall(name=name, args=args)]
            if self.closers and not scanner.at_end and not scanner.marked().endswith(self.closers):
                yield from scanner.until(self.closers[0])
        raw = scanner.marked()[len(head) :].strip()
        for closer in self.closers:
            raw = raw.removesuffix(closer).strip()
        return [ToolCall(name=name, args=raw or scanner.marked())]

    def _read_head(self, scanner: Scanner, tools: BoundTools) -> Read[tuple[str, bool]]:
        """The name, and whether more than that shows that it is a call: `add` may be the beginning of a word.

        Empty if it is not a call. All up to the arguments is passed, as far as it is there.
        """
        name, is_certain = "", False
        left: list[str] | None = None  # of the text that ended a wildcard
        for n, (kind, text) in enumerate(self.steps):
            if kind == "name":
                has_id = "id" in [step.kind for step in self.steps[n + 1 : n + 2]]
                name = yield from self._read_name(scanner, [name] if name else frozenset(tools), has_id)
                if not name:
                    return "", False
            elif kind == "any":
                end, *left = self.steps[n + 1].text.split()
                passed, _ = yield from scanner.until(end)
                if n and self.steps[n - 1].kind == "name" and not _HEADER.fullmatch(passed):
                    return "", False
                is_certain = bool(name)
            elif kind == "optional":
                yield from scanner.skip(text)
            elif kind == "word":
                for word in text.split() if left is None else left:
                    if not (yield from scanner.skip(word)):
                        return (name, True) if scanner.at_end else ("", False)
                    is_certain = bool(name)
                left = None
        return name, is_certain

    def _read_name(self, scanner: Scanner, names: Collection[str], has_id: bool) -> Read[str]:
        """One of `names`, with its id; empty if it goes on: then it is an unbound tool's, which only begins like it."""
        yield from scanner.blanks()
        name = yield from scanner.one_of(names)
        if not name or not (yield from scanner.more()):
            return ""
        char = yield from scanner.peek()
        if has_id and char == ":":
            return name if _KIMI_ID.fullmatch((yield from scanner.run(_ID))) else ""
        return "" if _NAME.match(char) else name
