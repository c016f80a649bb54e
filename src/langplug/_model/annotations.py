"""What authors annotate, read without evaluating it.

Python 3.14 evaluates an annotation when it is read, so that a name of `if TYPE_CHECKING:` would be a NameError there:
https://docs.python.org/3/library/annotationlib.html.
"""

import inspect
import sys
from collections.abc import Callable
from typing import Any


def annotations_of(cls: type) -> dict[str, Any]:
    """The annotations of the class's own body, by name."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.get_annotations(cls, format=Format.FORWARDREF)
    return inspect.get_annotations(cls)


def annotations_in(body: dict[str, Any]) -> dict[str, Any]:
    """The annotations in the body of a class that is not made yet."""
    if sys.version_info >= (3, 14) and "__annotations__" not in body:
        from annotationlib import Format, call_annotate_function, get_annotate_from_class_namespace

        annotate = get_annotate_from_class_namespace(body)
        return {} if annotate is None else call_annotate_function(annotate, Format.FORWARDREF)
    annotations: dict[str, Any] = body.get("__annotations__", {})
    return annotations


def read_signature(function: Callable[..., Any], *, follow_wrapped: bool = True) -> inspect.Signature:
    """The signature of a function, its annotations as they are written where they cannot be resolved."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, follow_wrapped=follow_wrapped, annotation_format=Format.FORWARDREF)
    return inspect.signature(function, follow_wrapped=follow_wrapped)
