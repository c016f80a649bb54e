"""Classes as schemas: pydantic models (v2 and v1), dataclasses and TypedDicts.

The class's own validation decides what fits. The JSON schema that is made of it is for prompts, servers and grammars
alone: langchain-core makes that of a TypedDict by pydantic v1, which loses `None`, `NotRequired` and most types.
"""

import json
import types
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from functools import lru_cache, reduce
from inspect import cleandoc, getdoc
from operator import or_
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import typing_extensions
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from typing_extensions import ReadOnly, get_type_hints, is_typeddict

from langplug._tools.references import inline_references

_typed_dict: Any = typing_extensions.TypedDict  # not only as a form of words that type checkers know

_PLAIN_DATA = (str, int, float, list, tuple, dict, types.NoneType, types.EllipsisType)


@dataclass(frozen=True)
class ClassSchema:
    """What langplug knows of a class that stands for a schema.

    Attributes:
        gives_instance: Whether answers become its instances; those of a TypedDict become dicts.
    """

    gives_instance: bool
    _json_schema: Mapping[str, Any]
    _validate: Callable[[Any], Any]

    @property
    def json_schema(self) -> dict[str, Any]:
        """It as a JSON schema with a title; the caller's own copy."""
        return deepcopy(dict(self._json_schema))

    def read(self, value: Any) -> Any:
        """What parsed JSON becomes: an instance, or a dict whose values have the types of its annotations.

        Raises:
            ValueError: If it does not fit, in words for the model.
        """
        try:
            return self._validate(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)[:5]
            raise ValueError(
                "; ".join(f"{'.'.join(map(str, ('$', *one['loc'])))}: {one['msg']}" for one in found)
            ) from error


def class_schema(schema: Any) -> ClassSchema | None:
    """What is known of `schema` if it is a class of a kind that can stand for one, else None.

    Raises:
        ValueError: If it is one, but pydantic can make no JSON schema of it.
    """
    described = get_origin(schema) or schema  # `Page[int]` of a generic dataclass or TypedDict
    is_class = isinstance(described, type) and (
        issubclass(described, BaseModel)
        or is_dataclass(described)
        or is_typeddict(described)
        or (hasattr(described, "parse_obj") and hasattr(described, "__fields__"))  # pydantic 1's
    )
    return _class_schema(schema) if is_class else None


@lru_cache(maxsize=256)  # made of each class once, and not anew with each call
def _class_schema(schema: Any) -> ClassSchema:
    try:
        if hasattr(schema, "parse_obj") and not hasattr(schema, "model_validate"):  # pydantic 1's
            return ClassSchema(True, to_json_schema(schema.schema()), schema.parse_obj)
        is_typed_dict = is_typeddict(get_origin(schema) or schema)
        adapter = TypeAdapter[Any](_pydantic_form(schema, {}))
        described = to_json_schema(adapter.json_schema())
    except Exception as error:  # pydantic's are RuntimeErrors, NameErrors, TypeErrors and more
        reason = str(error).partition("\n")[0]  # pydantic's go on with advice for who wrote the class's validation
        raise ValueError(
            f"{schema!r} cannot be made a JSON schema: {reason} Its fields need types that JSON can hold, and names in "
            "its annotations must be defined in its module."
        ) from error
    if is_typed_dict:
        described = _type_first(described)
        if not described["description"]:
            del described["description"]

    def validate(value: Any) -> Any:
        # As JSON, so that a strict model takes a date, an enum or a tuple as JSON writes it.
        return adapter.validate_json(json.dumps(value))

    return ClassSchema(not is_typed_dict, described, validate)


def to_json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema of pydantic's in langchain-core's form: title and description first, the rest without titles."""
    inlined = inline_references(schema)
    head = {"title": inlined.pop("title", ""), "description": inlined.pop("description", "")}
    return {**head, **_without_titles(inlined)}


def _without_titles(schema: Mapping[str, Any], holder: str = "") -> dict[str, Any]:
    kept = {
        key: value
        for key, value in schema.items()
        if key != "title" or (isinstance(value, dict) and holder == "properties")
    }
    return {key: _without_titles(value, key) if isinstance(value, dict) else value for key, value in kept.items()}


def _type_first(schema: Any) -> Any:
    """A TypedDict's schema with its keys in the order in which prompts have always had them."""
    if isinstance(schema, list):
        return [_type_first(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    first = [key for key in ("title", "description", "type") if isinstance(schema.get(key), str)]
    return {key: _type_first(schema[key]) for key in (*first, *(key for key in schema if key not in first))}


# --- TypedDicts in pydantic's words ---


def _pydantic_form(annotation: Any, made: dict[Any, Any]) -> Any:
    """`annotation`, with each TypedDict in it as one that pydantic reads as langchain-core would.

    What pydantic does not know are defaults and descriptions in `Annotated[str, ..., "The name"]`, descriptions in the
    docstring, and before Python 3.12 any TypedDict of `typing`.
    """
    if is_typeddict(annotation):
        return made.get(annotation) or _rebuild(annotation, made)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (None, Literal, type):
        return annotation
    if origin is Annotated:
        return Annotated[(_pydantic_form(args[0], made), *args[1:])]
    forms = tuple(_pydantic_form(arg, made) for arg in args)
    if all(form is arg for form, arg in zip(forms, args, strict=True)):
        return annotation
    return reduce(or_, forms) if origin in (Union, types.UnionType) else origin[forms]


def _rebuild(cls: Any, made: dict[Any, Any]) -> Any:
    form = _typed_dict(cls.__name__, {})
    made[cls] = form  # already now: it may hold itself
    for name in ("__module__", "__qualname__", "__pydantic_config__"):
        if hasattr(cls, name):
            setattr(form, name, getattr(cls, name))
    hints = get_type_hints(cls, include_extras=True)
    form.__doc__, descriptions = _read_docstring(cls, hints)
    form.__annotations__, required = {}, set[str]()
    for name, hint in hints.items():
        inner: Any = hint
        qualifiers, metadata = set[Any](), list[Any]()
        while (origin := typing_extensions.get_origin(inner)) in (Required, NotRequired, ReadOnly, Annotated):
            inner, *more = get_args(inner)  # these stand in any order
            qualifiers.add(origin)
            metadata = [*more, *metadata]
        is_required = Required in qualifiers or (NotRequired not in qualifiers and name in cls.__required_keys__)
        given: dict[str, Any] = {"description": descriptions[name]} if name in descriptions else {}
        match metadata:
            case [str() as description]:  # langchain-core takes it for a default, which nobody means by it
                given, metadata = {"description": description, **given}, []
            case [default, str() as description, *_] if isinstance(default, _PLAIN_DATA):
                given, metadata = {"description": description, **given}, []
                if default is not ...:
                    given["default"], is_required = default, False
            case _:
                pass
        if given:
            metadata = [*metadata, Field(**given)]
        annotation = _pydantic_form(inner, made)
        annotation = Annotated[(annotation, *metadata)] if metadata else annotation
        form.__annotations__[name] = Required[annotation] if is_required else NotRequired[annotation]
        required |= {name} if is_required else set()
    form.__required_keys__, form.__optional_keys__ = frozenset(required), frozenset(hints) - required
    return form


def _read_docstring(cls: Any, hints: Mapping[str, Any]) -> tuple[str | None, dict[str, str]]:
    """What the docstring says of a TypedDict, and of each key in an `Args:` section."""
    docstring = getdoc(cls)
    if not docstring or docstring == cleandoc(dict.__doc__ or ""):  # it inherits that of dict
        return None, {}
    # langchain-core knows how to read it: of a TypedDict of the same name whose values are all of a type it can read.
    alike = _typed_dict(cls.__name__, dict.fromkeys(hints, str))
    alike.__doc__ = docstring
    function = convert_to_openai_function(alike)
    described = function["parameters"]["properties"]
    return function["description"], {
        name: described[name]["description"] for name in hints if "description" in described[name]
    }
