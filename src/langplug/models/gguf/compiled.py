"""Importing the compiled packages of `ChatGGUF`, and what to do on a machine where that fails.

On fresh machines three things are missing, and Python's own message names no remedy for any of them: the package,
perhaps because it has no wheel for the machine; a system library that it is linked against (every slim Debian image
lacks `libgomp.so.1`); or a recent enough version of one.
"""

import re
from importlib import import_module
from typing import Any, Final

_ELSEWHERE: Final = "start a llama.cpp server and use ChatEndpoint"

_WHEELS: Final = (
    " xllamacpp has wheels for Linux with glibc (x86-64 and ARM), macOS 13 or newer, and Windows on x86-64. "
    f"On anything else, such as Alpine, {_ELSEWHERE}."
)

_MISSING: Final = {
    "xllamacpp": ("gguf", _WHEELS),
    "openvino": ("openvino", " Or leave out engine='openvino': llama.cpp needs no OpenVINO."),
    "openvino_genai": ("openvino", " Or leave out engine='openvino': llama.cpp needs no OpenVINO."),
}
"""The extra that brings a package, and what to say besides."""

_SYSTEM_PACKAGES: Final = {
    "libgomp.so.1": ("libgomp1", "libgomp"),
    "libstdc++.so.6": ("libstdc++6", "libstdc++"),
    "libgcc_s.so.1": ("libgcc-s1", "libgcc"),
    "libvulkan.so.1": ("libvulkan1", "vulkan-loader"),  # of the builds for GPUs, which are not on PyPI
}
"""The packages that hold a library, on Debian and Ubuntu, and on Fedora and its kin."""

# What the loaders say, each in its own words:
# glibc    libgomp.so.1: cannot open shared object file: No such file or directory
# musl     Error loading shared library libgomp.so.1: No such file or directory (needed by /...)
# Windows  DLL load failed while importing xllamacpp: The specified module could not be found.
# glibc    /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /...)
_LIBRARY: Final = re.compile(r"\blib[\w+-]+\.so[\w.]*")
_VERSION: Final = re.compile(r"version [`']([\w.]+)' not found")


def import_compiled(name: str) -> Any:
    """The package `name`, imported.

    Raises:
        ImportError: If it is not installed, or if a library that it needs is missing or too old. The message says which
            one, and how to get it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            extra, hint = _MISSING.get(name, ("gguf", ""))
            message = f"ChatGGUF needs {name}. Install it with: pip install 'langplug[{extra}]'.{hint}"
            raise ImportError(message, name=name) from None
        message = f"{name} is installed, but it cannot be imported: {error}. {_suggest_remedy(name, str(error))}"
        raise ImportError(message, name=name, path=error.path) from error


def _suggest_remedy(name: str, complaint: str) -> str:
    """What to do about an import that failed with the loader's `complaint`."""
    if version := _VERSION.search(complaint):
        return f"The system is too old: it lacks {version[1]}. Use a newer release of it, or {_ELSEWHERE}."
    if complaint.startswith("DLL load failed"):  # Windows does not say which
        return "A DLL is missing, most likely one of the Microsoft Visual C++ Redistributable. Install that."
    found = _LIBRARY.search(complaint)
    if found is None:
        return f"Install it anew: pip install --force-reinstall {name}"
    library = found[0]
    missing = f"The system library {library} is missing"
    if library in _SYSTEM_PACKAGES:
        debian, fedora = _SYSTEM_PACKAGES[library]
        return f"{missing}: apt-get install {debian} (Debian, Ubuntu) or dnf install {fedora} (Fedora, RHEL)."
    return (
        f"{missing}. Find its package: apt-file search {library} (Debian, Ubuntu), dnf provides '*/{library}' (Fedora)."
    )
