"""The metaclass of chat models: what must happen to an author's class body before pydantic sees it."""

from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel

from langplug._model.capabilities import read_capabilities
from langplug._model.class_checks import check_names
from langplug._model.parameters import MaxRetries

if TYPE_CHECKING:
    # Type checkers have no need of ours: to them a plain assignment that overrides a field is right as it is.
    from pydantic._internal._model_construction import ModelMetaclass

    ChatModelMeta = ModelMetaclass
else:

    class ChatModelMeta(type(BaseChatModel)):
        """pydantic's metaclass, for which `tool_calling = "native"` in a class body sets the default of the field.

        So does `max_retries = 3`. Annotated, it would be a parameter of the author's own.
        """

        def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any], **kwargs: Any) -> type:
            """Make the class.

            Raises:
                TypeError: If a name is taken, or a capability is set to something that it can't be.
            """
            where = body.get("__qualname__", name)
            check_names(where, bases, body)
            read_capabilities(body, where)
            if "max_retries" in body and "max_retries" not in body.get("__annotations__", {}):
                body["__annotations__"] = {**body.get("__annotations__", {}), "max_retries": MaxRetries}
            return super().__new__(mcs, name, bases, body, **kwargs)
