"""How the files of the groups depend on each other."""

import ast
from pathlib import Path

from langplug_check import all_checks, groups

FILES = {path.stem: path for path in Path(groups.__path__[0]).glob("*.py") if path.stem != "__init__"}


def test_no_group_imports_another() -> None:
    """What several groups need is in a module with an underscore: each group can be read, and changed, alone."""
    package = f"{groups.__name__}."
    imports = [
        (name, str(node.module))
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(package)
    ]
    assert imports
    assert [] == [one for one in imports if not one[1].removeprefix(package).startswith("_")]


def test_only_groups_have_checks() -> None:
    """Every file of a group has checks, and what groups share has none."""
    modules = {check.run.__module__ for check in all_checks().values()}
    with_checks = {name.removeprefix("langplug_check.groups.") for name in modules if ".groups." in name}
    assert {name for name in FILES if not name.startswith("_")} == with_checks
