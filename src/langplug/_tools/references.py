"""`$ref`s in JSON schemas: what they refer to, put in their places as far as it has an end."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

Schema: TypeAlias = Mapping[str, Any]

_DEFINITIONS = ("$defs", "definitions")  # pydantic 2's and 1's


def resolve(schema: Schema, root: Schema) -> Schema:
    """The schema that a `$ref` within `root` stands for; an empty one if it leads nowhere."""
    for _ in range(8):  # a chain of references longer than that is most likely a circle
        ref = schema.get("$ref")
        if not isinstance(ref, str):
            return schema
        schema = as_schema(_target(ref, root))
    return {}


def inline_references(schema: Schema, prefix: str = "") -> dict[str, Any]:
    """`schema` without references, as langchain-core and most servers want it; only what holds itself keeps one.

    langchain-core's own `dereference_refs` puts `{}` where a schema holds itself: anything would fit there, and a model
    would not be told of it.

    Args:
        schema: A JSON schema. A reference that leads nowhere stays as it is.
        prefix: What the names of the definitions that stay in `$defs` begin with. They are the only references in the
            result, so the rest of it may be put into another schema.
    """
    return _Inliner(schema, prefix).result()


class _Inliner:
    def __init__(self, root: Schema, prefix: str) -> None:
        self._root = root
        self._prefix = prefix
        self._names: dict[str, str] = {}  # of what refers to itself, in the result's `$defs`

    def result(self) -> dict[str, Any]:
        # The outermost reference goes even if it is part of a circle: servers want an object with properties.
        outer = {**resolve(self._root, self._root), **{k: v for k, v in self._root.items() if k != "$ref"}}
        inlined = self._inline({key: value for key, value in outer.items() if key not in _DEFINITIONS})
        definitions: dict[str, Any] = {}
        while missing := [ref for ref, name in self._names.items() if name not in definitions]:
            for ref in missing:
                target = {k: v for k, v in as_schema(_target(ref, self._root)).items() if k not in _DEFINITIONS}
                definitions[self._names[ref]] = self._inline(target)
        return {**inlined, "$defs": definitions} if definitions else cast("dict[str, Any]", inlined)

    def _inline(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._inline(item) for item in node]
        if not isinstance(node, Mapping):
            return node
        rest = {key: self._inline(value) for key, value in node.items() if key != "$ref"}
        ref = node.get("$ref")
        # A property may be called "$ref": then a schema stands here, and not text.
        if not isinstance(ref, str):
            return rest if ref is None else {"$ref": self._inline(ref), **rest}
        target = _target(ref, self._root)
        if not isinstance(target, Mapping):
            return dict(node)
        if not self._holds_itself(ref):
            return {**self._inline(target), **rest}
        if ref not in self._names:
            last = ref.rsplit("/", 1)[-1]
            name = self._prefix + ("root" if last == "#" else last)
            while name in self._names.values():  # `#/$defs/x` and `#/properties/x`
                name += "_"
            self._names[ref] = name
        return {"$ref": f"#/$defs/{self._names[ref]}", **rest}

    def _holds_itself(self, ref: str) -> bool:
        """Whether the way from `ref` leads back to it."""
        seen: set[str] = set()
        ways = [ref]
        while ways:
            found = set(_references_in(_target(ways.pop(), self._root)))
            if ref in found:
                return True
            ways += found - seen
            seen |= found
        return False


def _references_in(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _references_in(item)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            elif key not in _DEFINITIONS:  # of `#`: what is only defined there is not held
                yield from _references_in(value)


def _target(ref: str, root: Schema) -> Any:
    if not ref.startswith("#"):
        return None
    target: Any = root
    for step in ref.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list):
            target = target[int(key)] if key.isdigit() and int(key) < len(target) else None
        else:
            target = as_schema(target).get(key)
    return target


def as_schema(value: object) -> Schema:
    """`value` if it is a mapping, as schemas are; else the schema that asks for nothing."""
    return cast("Schema", value) if isinstance(value, Mapping) else {}
