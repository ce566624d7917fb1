"""The manual of the instruction set as Markdown, rendered from the definitions themselves.

``docs/render.py`` writes the pages to ``docs/isa`` and checks that they are fresh.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import resources

from npuc.isa.assembly.text import instruction_text
from npuc.isa.container import CONTENTS, VERSION
from npuc.isa.container.elf import EM_NPUC
from npuc.isa.descriptors import (
    Kernel,
    Params,
    Segment,
    Space,
    Table,
    TensorMap,
    View,
    Window,
    kernel,
)
from npuc.isa.descriptors.kernel import KERNEL_ROWS, PARAMS_ROWS
from npuc.isa.descriptors.layout import Row
from npuc.isa.descriptors.table import TABLE_ROWS
from npuc.isa.descriptors.tensor_map import MAP_ROWS
from npuc.isa.descriptors.view import VIEW_ROWS
from npuc.isa.dtypes import DType
from npuc.isa.encoding import INCREMENT_BIT, WAIT_BITS, field_range
from npuc.isa.instructions import (
    INSTRUCTIONS,
    NO_INDEX,
    Command,
    Engine,
    Field,
    Instruction,
    Kind,
)
from npuc.isa.instructions.base import OPERAND_START
from npuc.isa.microops import MICRO_OPS, MicroOp
from npuc.isa.target import EXTENSIONS, Target, builtin_target_names, load_target

RENDERED = "<!-- Rendered from the source by `make docs`; do not edit. -->"
_INDEX = f"""
Version {VERSION[0]}.{VERSION[1]}. These pages are rendered from `isa/npuc/isa`; the code there is
the definition.
"""
_INSTRUCTIONS = """
An instruction has 32 bytes, little-endian: 256 bits, counted from the lowest. Bits without a
meaning are zero, and a decoder refuses others. Instructions that are no commands run on ctl and
have zeros in bits 8 to 79.
"""
_WAITS = """
A wait holds back its command until the counter is at least register + immediate. Register 0 reads
as 0; a threshold of 0 or less holds at once, so 32 zero bits are no wait. Its bits:
"""
_DESCRIPTORS = """
Descriptors are immutable rows of tables that commands name by index. Numbers are little-endian;
parts of absent dimensions, windows, streams and micro-ops are zero, and a reader refuses others.
"""
_MICRO_OPS = """
Values are float32 (`f`) or int32 (`i`). A reduction takes one value per point of the reduction
space and yields one per output. Costs are lane-cycles.
"""
_ASSEMBLY = """
The text holds all of a program: `npuc disasm` writes it, `npuc asm` gives the same file again, byte
for byte.

- An instruction is a mnemonic, its operands, waits, and the counter that it increments:
  `mma v2, v0, v1 wait ld0[0] >= r3 - 2 inc 0`.
- A register operand followed by an immediate is written as their sum: `r4 - 1`, `r4`, `-1`.
- Operands written `name=value` are left out where they have their default.
- Flags and choices are bare words: `accumulate`, `ld1`.
- A counter is `core0.st[1]`; without the core it is one of the same core.
- Descriptors are named by their directives; a bare number is an index, `none` is no descriptor.
- The body of a loop stands in braces; branches go to labels of their core.

The least text of each instruction:
"""
_BINARY = f"""
ELF64, little-endian, executable, `e_machine` {EM_NPUC:#x}, no program headers; format version
{VERSION[0]}.{VERSION[1]}. A reader takes files of its own major version and of no newer minor
version. Every byte is either fixed or covered by a checksum; sections stand in header order, each
at the next multiple of its alignment.
"""
_TARGETS = """
All numbers of a machine stand in its file `isa/npuc/isa/targets/NAME.toml`. Rates are per cycle of
the core clock.
"""


def pages() -> dict[str, str]:
    """File name to text of every page."""
    return {
        "README.md": _index(),
        "instructions.md": _instructions(),
        "descriptors.md": _descriptors(),
        "micro-ops.md": _micro_ops(),
        "assembly.md": _assembly(),
        "binary.md": _binary(),
        "targets.md": _targets(),
    }


def _index() -> str:
    rows = [
        ("[instructions](instructions.md)", "every instruction: text, meaning, bits"),
        ("[descriptors](descriptors.md)", "views, tensor maps, vector kernels, parameters"),
        ("[micro-ops](micro-ops.md)", "what a vector kernel is made of"),
        ("[assembly](assembly.md)", "the textual form of a program"),
        ("[binary](binary.md)", "the program file"),
        ("[targets](targets.md)", "the machines and their numbers"),
    ]
    return _page("The instruction set", [_INDEX, _table(("page", "holds"), rows)])


def _instructions() -> str:
    common = [
        ("0-7", "opcode"),
        (f"{INCREMENT_BIT}-{INCREMENT_BIT + 4}", "command: index of the counter to increment"),
        (f"{INCREMENT_BIT + 5}", "command: 1 if it increments"),
        ("14-15", "zero"),
        *((f"{bit}-{bit + 31}", f"command: wait {i}") for i, bit in enumerate(WAIT_BITS, 1)),
        (f"{OPERAND_START}-255", "operands, in order, without gaps; then zeros"),
    ]
    wait = [
        ("0-14", "immediate, signed"),
        ("15-19", "register"),
        ("20-24", "counter: index"),
        ("25-27", "counter: engine"),
        ("28-31", "counter: core"),
    ]
    engines = [(str(e.value), f"`{e.name}`") for e in Engine]
    parts = [
        _INSTRUCTIONS,
        _table(("bits", "hold"), common),
        _WAITS,
        _table(("bits", "hold"), wait),
    ]
    parts += ["Engines:", _table(("code", "engine"), engines), *map(_instruction, INSTRUCTIONS)]
    return _page("Instructions", parts)


def _instruction(cls: type[Instruction]) -> str:
    kind = "command" if issubclass(cls, Command) else "ctl"
    extension = f", extension {cls.extension}" if cls.extension else ""
    place = f"Opcode {cls.opcode:#04x}, {kind}{extension}."
    least = f"Least text: `{instruction_text(cls())}`."
    lines = [f"## {cls.mnemonic}", _prose(cls), f"{place} {least}", f"```\n{cls.meaning}\n```"]
    rows = [_operand_row(name, spec, start) for name, spec, start in cls.layout()]
    if rows:
        lines.append(_table(("bits", "operand", "kind", "range"), rows))
    return "\n\n".join(lines)


def _operand_row(name: str, spec: Field, start: int) -> tuple[str, str, str, str]:
    low, high = field_range(spec)
    bits = str(start) if spec.width == 1 else f"{start}-{start + spec.width - 1}"
    choices = ", ".join(f"`{c}`" for c in spec.choices)
    kind = choices or _KINDS[spec.kind]
    return bits, f"`{name}`", kind, f"{_number(low)} to {_number(high)}"


_KINDS = {
    Kind.reg: "scalar register",
    Kind.imm: "signed immediate",
    Kind.count: "number",
    Kind.flag: "flag",
    Kind.view: f"view, {NO_INDEX} for none",
    Kind.map: "tensor map",
    Kind.kernel: "kernel",
    Kind.params: f"parameter record, {NO_INDEX} for none",
    Kind.offset: "distance to a label",
    Kind.body: "instructions of the body",
}


def _number(value: int) -> str:
    """Powers of two above 16 bits as such."""
    if abs(value) < 1 << 16:
        return str(value)
    if value < 0:
        return f"-2^{(-value).bit_length() - 1}"
    return f"2^{(value + 1).bit_length() - 1} - 1"


def _descriptors() -> str:
    tables: list[tuple[str, tuple[type, ...], tuple[Row, ...]]] = [
        ("View", (View, Window), VIEW_ROWS),
        ("Tensor map", (TensorMap,), MAP_ROWS),
        ("Kernel", (Kernel,), KERNEL_ROWS),
        ("Parameters", (Params,), PARAMS_ROWS),
        ("Table", (Table,), TABLE_ROWS),
    ]
    codes = [
        (kind, ", ".join(f"{member.value} `{member.name}`" for member in members))
        for kind, members in (("dtype", DType), ("space", Space), ("segment", Segment))
    ]
    parts = [_DESCRIPTORS, _table(("code of", "values"), codes)]
    for title, classes, rows in tables:
        parts += [f"## {title}", *map(_prose, classes), _layout(rows)]
        if classes == (Kernel,):
            parts.append(_markdown(inspect.cleandoc(kernel.__doc__ or "").split("\n\n")[1]))
    return _page("Descriptors", parts)


_CODE = re.compile(r"([0-9]*)([a-zA-Z])")
_TYPES = {"B": "u8", "h": "i16", "I": "u32", "i": "i32", "Q": "u64", "q": "i64", "x": "u8"}


def _layout(rows: Iterable[Row]) -> str:
    shown, offset = [], 0
    for row in rows:
        codes = _CODE.sub(lambda match: match[2] * int(match[1] or 1), row.code)
        types = ", ".join(_TYPES[code] for code in codes)
        shown.append(
            (str(offset), row.name, f"{row.repeat} x ({types})" if row.repeat > 1 else types)
        )
        offset += row.n_bytes
    return _table(("byte", "field", "type"), [*shown, (str(offset), "", "end")])


def _micro_ops() -> str:
    targets = [load_target(name) for name in builtin_target_names()]
    rows = [
        (
            *(str(op.code), f"`{op.name}`", f"{', '.join(op.operands)} → {op.result}"),
            *("yes" if op.is_reduction else "", _meaning(op)),
            *(str(target.vpu.cost_of(op.name)) for target in targets),
        )
        for op in MICRO_OPS
    ]
    head = ("code", "name", "domains", "reduces", "meaning", *(f"cost, {t.name}" for t in targets))
    return _page("Micro-ops", [_MICRO_OPS, _table(head, rows)])


def _meaning(op: MicroOp) -> str:
    """The first paragraph about the function that gives the micro-op its meaning."""
    meaning, arguments = op.meaning, ""
    if isinstance(meaning, partial):
        arguments = f" ({', '.join(f'{k}: {v}' for k, v in meaning.keywords.items())})"
        meaning = meaning.func
    first = inspect.cleandoc(meaning.__doc__ or "").split("\n\n")[0]
    return _markdown(first.replace("\n", " ").replace("|", "\\|") + arguments)


def _assembly() -> str:
    grammar = resources.files("npuc.isa.assembly").joinpath("assembly.lark")
    text = grammar.read_text(encoding="utf-8").rstrip()
    rows = [(f"`{instruction_text(cls())}`", cls.mnemonic) for cls in INSTRUCTIONS]
    parts = [_ASSEMBLY, _table(("text", "instruction"), rows), "The grammar:"]
    return _page("Assembly", [*parts, f"```\n{text}\n```"])


def _binary() -> str:
    rows = [(f"`{name}`", what) for name, what in CONTENTS.items()]
    return _page("Program file", [_BINARY, _table(("section", "holds"), rows)])


def _targets() -> str:
    targets = [load_target(name) for name in builtin_target_names()]
    rows = [
        (f"`{path}`", *(_shown(_at(target, path)) for target in targets))
        for path in _paths(Target, "")
    ]
    energy = [
        (t.name, f"`{r.event}`", f"{r.femtojoules:g}", r.source, r.node, r.confidence)
        for t in targets
        for r in t.energy
    ]
    columns = ("target", "event", "fJ", "source", "node", "confidence")
    parts = [_TARGETS, _table(("field", *(target.name for target in targets)), rows)]
    parts += ["Extensions:", _table(("letter", "adds"), EXTENSIONS.items())]
    parts += ["Energy per event, in femtojoules:", _table(columns, energy)]
    return _page("Targets", parts)


def _paths(cls: type, prefix: str) -> list[str]:
    paths = []
    for f in fields(cls):
        if isinstance(f.type, type) and is_dataclass(f.type):
            paths += _paths(f.type, f"{prefix}{f.name}.")
        elif f.name not in ("name", "energy"):
            paths.append(prefix + f.name)
    return paths


def _at(target: Target, path: str) -> object:
    value: object = target
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(" ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _prose(cls: type) -> str:
    """The docstring of ``cls``, then those of its bases that tell of shared operands."""
    told = [c for c in cls.__mro__ if c not in (Instruction, Command, object)]
    return _markdown("\n\n".join(inspect.cleandoc(c.__doc__ or "") for c in told))


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _page(title: str, parts: Iterable[str]) -> str:
    return "\n\n".join([f"# {title}", RENDERED, *(part.strip() for part in parts)]) + "\n"
