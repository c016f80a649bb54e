"""The public names of each package, out of the source and its docstrings: `reference/api/`.

griffe reads the source and imports nothing. Docstrings are Markdown, in Google's style; what stands in them indented
below a line that ends in a colon, such as `name: what it is`, becomes a list.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache, partial
from textwrap import dedent, indent
from typing import cast

from griffe import (
    Alias,
    Attribute,
    Class,
    Docstring,
    DocstringSectionKind,
    Expr,
    ExprCall,
    ExprKeyword,
    Function,
    GriffeLoader,
    Object,
    ParameterKind,
)
from tests.docs.pages import ROOT, slug
from tests.docs.reference.writing import Language

PACKAGES = {
    "langplug": "langplug",
    "langplug.models": "models",
    "langplug.http": "http",
    "langplug.serve": "serve",
    "langplug.batch": "batch",
    "langplug.bench": "bench",
    "langplug_check": "check",
    "langplug_backend": "backend",
}
"""Each package that others may import from, and the name of its page."""

BASE = ("langplug", "ChatModel")
"""What the pages say of this class, they do not say again of each class that is derived from it."""

WORDS = {
    "en": {
        "args": "Arguments",
        "returns": "Returns",
        "yields": "Yields",
        "raises": "Raises",
        "fields": "Fields",
        "class variables": "Class variables",
        "example": "Example",
        "default": "default",
        "base": "It also has the fields and methods of [`ChatModel`](langplug.md#chatmodel).",
    },
    "zh": {
        "args": "参数",
        "returns": "返回",
        "yields": "产出",
        "raises": "抛出",
        "fields": "字段",
        "class variables": "类变量",
        "example": "示例",
        "default": "默认",
        "base": "此外还有 [`ChatModel`](langplug.md#chatmodel) 的字段和方法。",
    },
}

Item = tuple[str, str, str, str]
"""Of an argument or a field: its name, its type, its default and what it is."""


@cache
def loader() -> GriffeLoader:
    loaded = GriffeLoader(search_paths=[ROOT / "src", ROOT / "check" / "src"], docstring_parser="google")
    for package in ("langplug", "langplug_check", "langplug_backend"):
        loaded.load(package)
    loaded.resolve_aliases()
    return loaded


def names_in(package: str) -> list[str]:
    """What a package offers: its `__all__`, or, as that of `langplug.models` is found out, what it has for checkers."""
    module = loader().modules_collection[package]
    offered = module.exports or [name for name, path in module.imports.items() if path.startswith(f"{package}.")]
    return sorted(map(str, offered), key=lambda name: (name.lower(), name))


def object_of(package: str, name: str) -> Object:
    """What a package offers by a name, even if a module of its own has the same one."""
    module = loader().modules_collection[package]
    found = loader().modules_collection[module.imports.get(name, f"{package}.{name}")]
    return found.final_target if isinstance(found, Alias) else found


def page_of(package: str) -> Callable[[Language], str]:
    """What makes the page of a package."""
    return partial(page, package)


def page(package: str, language: Language) -> str:
    """Each name of a package, in alphabetical order."""
    words = WORDS[language]
    parts: list[str] = []
    for name in names_in(package):
        parts += [f"## {heading(name, package)}", *entry(name, object_of(package, name), words)]
    return linked("\n\n".join(parts), package) + "\n"


def heading(name: str, package: str) -> str:
    """Its name; that of a class which is another name but for its capital has to be another place to lead to."""
    return f"`{name}` (class)" if name != name.lower() and name.lower() in names_in(package) else f"`{name}`"


def entry(name: str, told: Object, words: dict[str, str]) -> Iterator[str]:
    """A function, a class with its fields and methods, or a constant."""
    if isinstance(told, Class):
        yield from class_entry(name, told, words)
    elif isinstance(told, Function):
        yield from function_entry(name, told, words)
    else:
        yield code(constant(name, told))
        yield from text(told.docstring, words)


def class_entry(name: str, told: Class, words: dict[str, str]) -> Iterator[str]:
    """A class: what it is, its fields, and its methods under headings of their own."""
    bases = ", ".join(dict.fromkeys(bases_of(told)))
    yield code(f"class {name}({bases})" if bases else f"class {name}")
    yield from text(told.docstring, words)
    base = object_of(*BASE)
    is_model = base in told.mro()
    if is_model:
        yield words["base"]
    for hidden in told.mro():  # where what the attributes are may be said
        yield from text(hidden.docstring, words, (FIELDS,)) if hidden.path not in public_paths() else ()
    members = members_of(told, without=base if is_model else None)
    own = [one for one in members if isinstance(one, Attribute) and one.docstring and "property" not in one.labels]
    if fields := [item_of(one) for one in own]:
        yield f"**{words['fields']}**"
        yield items(fields, words)
    for one in members:
        if one.docstring and (isinstance(one, Function) or "property" in one.labels):
            yield f"### `{name}.{one.name}`"
            yield from function_entry(one.name, one, words) if isinstance(one, Function) else property_entry(one, words)


@cache
def public_paths() -> dict[str, str]:
    """The names of what is offered, by where it is defined."""
    return {object_of(package, name).path: name for package in PACKAGES for name in names_in(package)}


def bases_of(told: Class) -> Iterator[str]:
    """What a class is derived from, as far as others can import it."""
    for base in told.bases:
        path = base.canonical_path if isinstance(base, Expr) else base
        if not path.startswith("langplug"):
            yield from () if path.rpartition(".")[2] in OF_EVERY_MODEL else [str(base)]
            continue
        found = loader().modules_collection[path]
        target = found.final_target if isinstance(found, Alias) else found
        name = public_paths().get(target.path)
        yield from [name] if name else bases_of(cast("Class", target))


OF_EVERY_MODEL = ("BaseModel", "RunnableSerializable")
"""What `BaseChatModel` is derived from itself."""


def members_of(told: Class, without: Object | None) -> list[Object]:
    """The public members of a class and of its bases, its own first, but for what the class `without` has."""
    known = [without, *without.mro()] if isinstance(without, Class) else []
    hidden = {name for base in known for name in base.members}
    found: dict[str, Object] = {}
    for base in [told, *told.mro()]:
        for name, member in base.members.items():
            if not name.startswith(("_", "pytest_", "test_")) and not isinstance(member, Alias) and name not in hidden:
                found.setdefault(name, member)
    return list(found.values())


def function_entry(name: str, told: Function, words: dict[str, str]) -> Iterator[str]:
    """A function: how it is called, what it does, and what each of its arguments is."""
    yield code("\n\n".join(signature(name, one) for one in told.overloads or [told]))
    yield from text(told.docstring, words)


def property_entry(told: Object, words: dict[str, str]) -> Iterator[str]:
    yield code(f"{told.name}: {told.annotation}" if isinstance(told, Attribute) and told.annotation else told.name)
    yield from text(told.docstring, words)


def signature(name: str, told: Function) -> str:
    """How it is called: on one line, or one line for each argument."""
    parts: list[str] = []
    last: ParameterKind | None = None
    for one in told.parameters:
        if one.name in ("self", "cls") and not parts:
            continue
        if last is ParameterKind.positional_only is not one.kind and parts:
            parts.append("/")
        if one.kind is ParameterKind.keyword_only and last not in (one.kind, ParameterKind.var_positional):
            parts.append("*")
        last = one.kind
        stars = STARS.get(one.kind, "")
        typed = f"{stars}{one.name}: {one.annotation}" if one.annotation else f"{stars}{one.name}"
        has_default = one.default is not None and not stars
        parts.append(f"{typed}{' = ' if one.annotation else '='}{one.default}" if has_default else typed)
    if last is ParameterKind.positional_only:
        parts.append("/")
    answer = f" -> {told.returns}" if told.returns else ""
    line = f"{'async ' if 'async' in told.labels else ''}def {name}({', '.join(parts)}){answer}"
    if len(line) <= 88:
        return line
    return line.split("(", maxsplit=1)[0] + "(\n" + "".join(f"    {part},\n" for part in parts) + f"){answer}"


STARS = {ParameterKind.var_positional: "*", ParameterKind.var_keyword: "**"}


def constant(name: str, told: Object) -> str:
    assert isinstance(told, Attribute)
    value = str(told.value)
    typed = f"{name}: {told.annotation}" if told.annotation else name
    return typed if told.annotation or len(value) > 200 else f"{typed} = {value}"


def code(text: str) -> str:
    return f"```pyi\n{text}\n```"


# --- docstrings ---


SECTIONS = {
    DocstringSectionKind.parameters: "args",
    DocstringSectionKind.attributes: "fields",
    DocstringSectionKind.returns: "returns",
    DocstringSectionKind.yields: "yields",
    DocstringSectionKind.raises: "raises",
}
"""The sections that are lists, and what they are called."""

FIELDS = DocstringSectionKind.attributes
KINDS = tuple(DocstringSectionKind)


def text(docstring: Docstring | None, words: dict[str, str], kinds: Collection[object] = KINDS) -> Iterator[str]:
    """A docstring as Markdown, or its sections of these kinds."""
    for section in docstring.parsed if docstring else ():
        if section.kind not in kinds:
            continue
        if section.kind in SECTIONS:
            yield f"**{words[SECTIONS[section.kind]]}**"
            yield items([item(one, docstring) for one in section.value], words)
        elif section.kind is DocstringSectionKind.admonition:
            yield from plain(f"{section.title}:\n\n{indent(section.value.contents, '    ')}", words)
        else:
            yield from plain(str(section.value), words)


def item(told: object, docstring: Docstring) -> Item:
    """An argument, a field, an exception or an answer, as a section of a docstring has it."""
    name, kind, default, what = (getattr(told, one, None) for one in ("name", "annotation", "value", "description"))
    called = docstring.parent.parameters if isinstance(docstring.parent, Function) else ()
    stars = next((STARS.get(one.kind, "") for one in called if one.name == name), "")
    return f"{stars}{name or ''}", str(kind or ""), "" if stars or default is None else str(default), str(what)


def item_of(field: Attribute) -> Item:
    """A field, with the docstring below it; its default, out of `Field(...)` where that has it."""
    default = field.value
    if isinstance(default, ExprCall) and str(default.function) in ("Field", "field"):
        named = {one.name: one.value for one in default.arguments if isinstance(one, ExprKeyword)}
        first = next((one for one in default.arguments if not isinstance(one, ExprKeyword)), None)
        factory = named.get("default_factory")
        default = named.get("default", first) if factory is None else f"{factory}()"
    kind = str(field.annotation or "")
    what = field.docstring.value if field.docstring else ""
    return field.name, kind, "" if default in (None, "...") else str(default), what


def items(told: Iterable[Item], words: dict[str, str]) -> str:
    """A list: what each is called, its type and its default, and what it is."""
    lines = []
    for name, kind, default, description in told:
        facts = [*([f"`{kind}`"] if kind and name else []), *([f"{words['default']} `{default}`"] if default else [])]
        names = [f"`{one}`" for one in re.findall(r"[^\s,`]+", name or kind.replace(" ", "\N{NO-BREAK SPACE}"))]
        head = ", ".join(names) + (f" ({', '.join(facts)})" if facts else "")
        body = indent("\n\n".join(plain(description, words)), "    ").strip()
        lines.append(f"* {head}: {body}" if head else f"* {body}")
    # Behind an item of several paragraphs the site needs an empty line, or the next one is part of the last of them.
    return ("\n\n" if any("\n\n" in line for line in lines) else "\n").join(lines)


CHUNK = re.compile(r"(?:^(?: {4}.*)?(?:\n|\Z))+|(?:^(?! {4}).+(?:\n|\Z))+", re.MULTILINE)
"""Lines that are indented, with what is empty between them; or a paragraph of lines that are not."""

DEFINED = re.compile(r"^(?P<name>[\w`*][\w`*.\"\[\],\s]*?): +(?P<what>.*(?:\n+ +.*)*)", re.MULTILINE)
"""A line such as `name: what it is`, with the lines below it that are indented further."""


def plain(told: str, words: dict[str, str]) -> Iterator[str]:
    """Paragraphs; where lines are indented, lists and examples."""
    for chunk in CHUNK.findall(told):
        block = dedent(chunk.strip("\n"))
        if block.startswith(">>>"):
            yield f"```pycon\n{block}\n```"
        elif chunk.startswith(("    ", "\n    ")) and DEFINED.match(block):
            yield items([(one["name"], "", "", dedent_rest(one["what"])) for one in DEFINED.finditer(block)], words)
        elif chunk.startswith(("    ", "\n    ")):
            yield f"```text\n{block}\n```"
        elif block in ("Example:", "Examples:"):
            yield f"**{words['example']}**"
        elif block.strip():  # a list right below its sentence is one for GitHub, and none for the site
            yield block if block.startswith("* ") else block.replace("\n* ", "\n\n* ", 1)


def dedent_rest(told: str) -> str:
    """Lines but the first without what they are indented by."""
    first, _, rest = told.partition("\n")
    return f"{first}\n{dedent(rest)}" if rest else first


# --- links ---


def linked(told: str, package: str) -> str:
    """The page with each public class that its text names leading to where that is explained."""
    homes = {name: home for home in [*PACKAGES, package] for name in names_in(home) if name[0].isupper()}

    def link(found: re.Match[str]) -> str:
        home = homes.get(found[1])
        if home is None:
            return found[0]
        return f"[`{found[1]}`]({'' if home == package else f'{PACKAGES[home]}.md'}#{slug(heading(found[1], home))})"

    parts = re.split(r"(^```.*?^```$|^#.*?$|\[`.*?\]\(.*?\))", told, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if place % 2 else re.sub(r"`(\w+)`", link, part) for place, part in enumerate(parts))
