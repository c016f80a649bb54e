"""The names of a class of models in metadata and traces, and the versions of the packages that it comes from."""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from langplug._answer.from_message import untranslated


@cache
def kebab_case(name: str) -> str:
    """`ChatAcme` as `chat-acme`, `my_model` as `my-model`."""
    words = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3-\2", name)
    return words.replace("_", "-").lower()


@cache
def provider_name(class_name: str) -> str:
    """`ChatAcme` as `acme`. One that would have langchain-core read the content as another provider's is prefixed."""
    name = kebab_case(class_name).replace("-", "_")
    return untranslated(name.removeprefix("chat_").removesuffix("_chat") or name)


@cache
def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except (PackageNotFoundError, ValueError):  # ValueError: `__main__` and other names that no package can have
        return None


def note_package_version(cls: type) -> None:
    """Look up the version of the class's package now: later may be in an event loop, which file access would block."""
    package_versions(cls)


def package_versions(cls: type) -> list[tuple[str, str]]:
    """langplug's version, and that of the package that the class comes from, where it is installed as one."""
    packages = dict.fromkeys(("langplug", (cls.__module__ or "").partition(".")[0].replace("_", "-")))
    return [(package, found) for package in packages if (found := _version_of(package))]
