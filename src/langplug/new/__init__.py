"""A package to publish a chat model in, from a template: what it is told, its files, what a newer template changes.

The templates are plain files in `templates/`: a folder each, with what only that one has, and `common/`. Their names
end in `.tmpl`, `package` stands for the package's name, and `string.Template` fills them in.
"""

from langplug.new.answers import Answers, check_name, default_author, default_description
from langplug.new.package import difference, read_answers, write
from langplug.new.rendering import TEMPLATES, Template, check_template, render

__all__ = [
    "TEMPLATES",
    "Answers",
    "Template",
    "check_name",
    "check_template",
    "default_author",
    "default_description",
    "difference",
    "read_answers",
    "render",
    "write",
]
