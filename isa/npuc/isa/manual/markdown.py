"""Pieces of Markdown that the pages of the manual are put together from."""

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import resources

from npuc.isa.manual.definition import documentation

RENDERED = "<!-- Rendered from the source by `make docs`; do not edit. -->"
_SLOT = re.compile(r"\{\{([a-z_0-9]+)\}\}")


def page(title: str, parts: Iterable[str]) -> str:
    """A page: its title, the note that it is rendered, its parts."""
    return "\n\n".join([f"# {title}", RENDERED, *(part.strip() for part in parts)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def filled(name: str, **slots: str) -> str:
    """The prose ``text/NAME.md`` with each ``{{slot}}`` replaced; all slots are used."""
    text = resources.files("npuc.isa.manual").joinpath("text", f"{name}.md")
    prose = text.read_text(encoding="utf-8")
    assert set(_SLOT.findall(prose)) == set(slots), f"slots of {name}.md"
    return _SLOT.sub(lambda match: slots[match[1]].strip(), prose)


def markdown(text: str) -> str:
    """A docstring's text as Markdown."""
    return text.replace("``", "`")


def prose(cls: type) -> str:
    """The docstring of ``cls``, then those of its bases that tell of shared operands."""
    return markdown(documentation(cls))


def source(*functions: Callable[..., object] | type) -> str:
    """The definitions themselves, as a block of code."""
    return code("\n\n\n".join(inspect.getsource(function).rstrip() for function in functions))


def code(text: str) -> str:
    """A block of code."""
    return f"```python\n{text.strip()}\n```"


def module_prose(module: object) -> str:
    """The docstring of a module, without its first line."""
    text = inspect.cleandoc(getattr(module, "__doc__", "") or "")
    return markdown(text.partition("\n\n")[2])


def in_cell(text: str) -> str:
    """A text that may stand in a cell of a table."""
    return markdown(text).replace("|", "\\|")
