"""`/openapi.json`: what is served, described as OpenAPI 3.1 has it, of the very shapes by which bodies are checked.

Source: https://spec.openapis.org/oas/v3.1.1.html.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from langplug import __version__
from langplug.serve.shapes import FLAG, TEXT, Shape, list_of, object_of, one_word
from langplug.serve.wires.wire import Wire

PATH: Final = "/openapi.json"

_KEYS: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_REFUSALS: Final = (
    "A wrong body is 400, a wrong key 401, a page of another origin 403, an unknown model or path 404, another method "
    "405, a body that is too large 413, one that is not JSON 415, a name that the server does not know 421, too many "
    "calls 429 with `Retry-After`."
)
_FAILURES: Final = (
    "A model that fails is 500 or 502, a server that loads its models 503 with `Retry-After`, and a call that takes "
    "too long 504. `X-Should-Retry: false` says that another attempt is not worth it."
)
_HEADERS: Final = {
    "X-Request-Id": {"schema": TEXT, "description": "The request's own, or a new one."},
    "X-Langplug-Ignored": {"schema": TEXT, "description": "What of the request was ignored, if anything was."},
}
_CARD: Final = object_of(
    "Model",
    id=TEXT,
    object=one_word("model"),
    created={"type": "integer"},
    owned_by=TEXT,
    capabilities={"type": "object", "description": "LangChain's profile of the model."},
)
_ANTHROPIC: Final = "As Anthropic describes models, for who sends `anthropic-version`."
_OWN_CARD: Final = {
    **object_of("AnthropicModel", type=one_word("model"), id=TEXT, display_name=TEXT, created_at=TEXT),
    "description": _ANTHROPIC,
}
_CARDS: Final = object_of("Models", object=one_word("list"), data=list_of(_CARD))
_OWN_CARDS: Final = {
    **object_of("AnthropicModels", data=list_of(_OWN_CARD), has_more=FLAG),
    "description": _ANTHROPIC,
}
_HEALTH: Final = object_of("Health", status=one_word("ok", "loading"))

_TOLD: Final[Mapping[str, tuple[str, Shape]]] = {
    "/health/live": ("Whether the server runs.", _HEALTH),
    "/health/ready": ("Whether the models can be asked.", _HEALTH),
    "/v1/models": ("The models that can be asked.", {"anyOf": [_CARDS, _OWN_CARDS]}),
    "/v1/models/{id}": ("One of them.", {"anyOf": [_CARD, _OWN_CARD]}),
    PATH: ("This description.", {"type": "object"}),
}
"""What is answered in JSON, and is not a wire's."""


def document(
    routes: Mapping[str, str], wires: Iterable[Wire], *, open_paths: Iterable[str], has_key: bool, strict: bool
) -> dict[str, Any]:
    """The description of a server.

    Args:
        routes: Its paths, each with its method.
        wires: The wires that it speaks.
        open_paths: The paths that need no key.
        has_key: Whether there is a key.
        strict: Whether fields that would be ignored are refused.
    """
    published = _Published()
    by_path = {path: wire for wire in wires for path in wire.paths}
    first = next(iter(by_path.values()))
    keys: list[dict[str, Any]] = [{name: []} for name in _KEYS] if has_key else []
    paths: dict[str, Any] = {}
    for path, method in routes.items():
        wire = by_path.get(path)
        operation = asking(wire, published, strict=strict) if wire else telling(path, published)
        errors = published.of((wire or first).failure)
        for status, told in (("4XX", _REFUSALS), ("5XX", _FAILURES)):
            operation["responses"][status] = {"description": told, "content": {"application/json": {"schema": errors}}}
        operation["operationId"] = path.strip("/").replace("/", "_").replace("{", "").replace("}", "") or "playground"
        operation["security"] = [] if path in open_paths else keys
        paths[path] = {method.lower(): operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": "langplug serve", "version": __version__},
        "paths": paths,
        "components": {"schemas": published.schemas, "securitySchemes": _KEYS},
    }


def asking(wire: Wire, published: "_Published", *, strict: bool) -> dict[str, Any]:
    """An operation by which a model is asked."""
    body = wire.body.strict_shape if strict else wire.body.shape
    answers: dict[str, Any] = {"application/json": {"schema": published.of(wire.answer)}}
    if "stream" in body["properties"]:
        answers["text/event-stream"] = {"schema": TEXT}
    return {
        "summary": wire.summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": published.of(body)}}},
        "responses": {"200": {"description": "The answer.", "headers": _HEADERS, "content": answers}},
    }


def telling(path: str, published: "_Published") -> dict[str, Any]:
    """An operation by which something is read."""
    summary, shape = _TOLD.get(path, ("A static file, or figures for Prometheus.", None))
    content = {"*/*": {}} if shape is None else {"application/json": {"schema": published.of(shape)}}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "What is there.", "content": content}},
    }
    if "{id}" in path:
        operation["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": TEXT}]
    return operation


class _Published:
    """Shapes as the schemas that others read: those with a title apart, by their names.

    Attributes:
        schemas: Those with a title.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def of(self, shape: Shape) -> dict[str, Any]:
        """A shape as a schema, or as a reference to it."""
        title = shape.get("title")
        if title is None:
            return self._schema(shape)
        if title not in self.schemas:
            self.schemas[title] = {}  # it may hold itself
            self.schemas[title] = self._schema({key: value for key, value in shape.items() if key != "description"})
        beside = {"description": shape["description"]} if "description" in shape else {}
        return {"$ref": f"#/components/schemas/{title}", **beside}

    def _schema(self, shape: Shape) -> dict[str, Any]:
        schema = {key: value for key, value in shape.items() if key not in ("discriminator", "title")}
        if "properties" in shape:
            required = shape.get("required") or ()
            members = {name: self.of(member) for name, member in shape["properties"].items()}
            schema["properties"] = {
                name: member if name in required else or_null(member) for name, member in members.items()
            }
        for key in ("items", "additionalProperties"):
            if isinstance(shape.get(key), Mapping):
                schema[key] = self.of(shape[key])
        for key in ("anyOf", "oneOf"):
            if key in shape:
                schema[key] = [self.of(option) for option in shape[key] if option.get("not") != {}]
        if not schema.get("required", True):
            del schema["required"]
        return schema


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a member that need not be there, and then may be null."""
    if schema.get("not") == {}:
        return {"type": "null", "description": schema["description"]}
    if "type" not in schema or "anyOf" in schema or "oneOf" in schema:
        return {"anyOf": [schema, {"type": "null"}]} if schema.keys() - {"description"} else schema
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    values = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*kinds, "null"], **values}
