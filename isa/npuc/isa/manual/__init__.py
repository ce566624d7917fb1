"""The manual of the instruction set as Markdown, rendered from the definitions themselves.

``docs/render.py`` writes the pages to ``docs/isa`` and checks that they are fresh. Prose that no
definition can hold stands in ``text/``, with slots for what the definitions say.
"""

from collections.abc import Callable

from npuc.isa.container import VERSION
from npuc.isa.manual.assembly import assembly_page
from npuc.isa.manual.binary import binary_page, conformance_page, json_page
from npuc.isa.manual.descriptors import descriptors_page
from npuc.isa.manual.instructions import instructions_page
from npuc.isa.manual.markdown import page, table
from npuc.isa.manual.micro_ops import micro_ops_page
from npuc.isa.manual.numerics import numerics_page
from npuc.isa.manual.order import machine_page, order_page, time_page
from npuc.isa.manual.targets import targets_page

__all__ = ["pages"]
# File, what it holds, who renders it, in the order in which they are best read.
_PAGES: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("machine.md", "what there is, how instructions take effect, what traps", machine_page),
    ("instructions.md", "every instruction: text, meaning, bits", instructions_page),
    ("descriptors.md", "views, tensor maps, vector kernels, parameters, tables", descriptors_page),
    ("micro-ops.md", "what a vector kernel is made of", micro_ops_page),
    ("numerics.md", "every conversion, order, algorithm, with errors", numerics_page),
    ("order.md", "counters, waits, conflicts, strict mode", order_page),
    ("time.md", "cycles of every command, sharing, energy", time_page),
    ("binary.md", "the program file, to the byte", binary_page),
    ("assembly.md", "the textual form of a program", assembly_page),
    ("targets.md", "the machines and their numbers", targets_page),
    ("json.md", "the definition as data: `npuc isa --json`", json_page),
    ("conformance.md", "vectors for other emulators", conformance_page),
)


def pages() -> dict[str, str]:
    """File name to text of every page."""
    return {"README.md": _index(), **{name: render() for name, _, render in _PAGES}}


def _index() -> str:
    about = (
        f"Version {VERSION[0]}.{VERSION[1]}. These pages are rendered from `isa/npuc/isa`; the "
        "code there is the definition. They are meant to suffice for writing another emulator."
    )
    rows = [(f"[{name[:-3]}]({name})", holds) for name, holds, _ in _PAGES]
    return page("The instruction set", [about, table(("page", "holds"), rows)])
