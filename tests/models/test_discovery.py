"""Ready-made models are found by themselves, and imported only when they are used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import langplug.models
from langplug import ChatModel

NEW = """
from langplug import ChatModel, Request

class Helper: ...

class ChatNew(ChatModel):
    def respond(self, request: Request, /) -> str:
        return request.text.upper()
"""


def python(code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run `code` in a process in which `langplug.models` has one more folder."""
    extended = f"import sys, langplug.models\nlangplug.models.__path__.append({str(folder)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", extended], capture_output=True, text=True, check=False)


def test_every_listed_model_is_there() -> None:
    """`__all__` and `dir()` list the same models, and each is a `ChatModel` that documents itself."""
    names = langplug.models.__all__
    assert dir(langplug.models) == names == sorted(names)
    assert {"ChatGGUF", "CustomChatModelAdvanced"} <= set(names)
    for name in names:
        model = getattr(langplug.models, name)
        assert issubclass(model, ChatModel)
        assert model.__doc__


def test_every_model_in_a_file_is_listed() -> None:
    """No public `ChatModel` of a ready-made model's file is left out of the list."""
    listed = {getattr(langplug.models, name) for name in langplug.models.__all__}
    for module in {model.__module__ for model in listed}:
        values = vars(import_module(module)).values()
        here = {one for one in values if isinstance(one, type) and one.__module__ == module}
        assert {one for one in here if issubclass(one, ChatModel) and not one.__name__.startswith("_")} <= listed


def test_type_checkers_see_every_model() -> None:
    """Each model that is found at run time is also imported for type checkers, in `models/__init__.py`."""
    tree = ast.parse(Path(langplug.models.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    found = {name: getattr(langplug.models, name) for name in langplug.models.__all__}
    assert seen == {name: f"{model.__module__}.{name}" for name, model in found.items()}


def test_listing_imports_nothing(tmp_path: Path) -> None:
    """Neither importing `langplug.models` nor listing the models imports a model, langchain-core or an engine."""
    code = "dir(langplug.models), langplug.models.__all__; print(*sys.modules)"
    imported = python(code, tmp_path).stdout.split()
    ours = {name for name in imported if name.startswith("langplug")}
    assert {"langplug", "langplug._suggest", "langplug.models"} == ours
    assert not {"langchain_core", "pydantic", "asyncio", "aiohttp", "xllamacpp"} & set(imported)


@pytest.mark.parametrize("file", ["new.py", "new/model.py"])
def test_a_new_file_is_a_new_model(file: str, tmp_path: Path) -> None:
    """A model is one new file, or a folder with a `model.py`; no other file has to name it."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(NEW)
    code = "from langplug.models import ChatNew; print('ChatNew' in dir(langplug.models), ChatNew().invoke('hi').text)"
    done = python(code, tmp_path)
    assert ("True HI\n", "") == (done.stdout, done.stderr)


def test_a_model_that_cannot_be_imported_harms_no_other(tmp_path: Path) -> None:
    """What one model needs and is not installed is missed only when that model is used, and by its own name."""
    (tmp_path / "new.py").write_text(f"import no_such_engine\n{NEW}")
    code = "print('ChatNew' in dir(langplug.models), langplug.models.ChatScripted.__name__)\nlangplug.models.ChatNew"
    done = python(code, tmp_path)
    assert "True ChatScripted\n" == done.stdout
    assert "No module named 'no_such_engine'" in done.stderr


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ChatGUF", "did you mean 'ChatGGUF'?"), ("Llama", "there are ChatAdopted, ChatCommand, ChatEndpoint")],
)
def test_an_unknown_model_is_an_attribute_error(name: str, hint: str) -> None:
    """A name that no model has is an `AttributeError` that suggests a near one, or lists them all."""
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'.* {hint}"):
        getattr(langplug.models, name)
    assert not hasattr(langplug.models, name)
