"""Programs to assembly text: complete and re-assemblable, or one group annotated for reading."""

from collections.abc import Iterator
from dataclasses import replace

from npuc.isa.assembly.operands import TABLES
from npuc.isa.assembly.text import (
    MAX_BRACES,
    Surroundings,
    argument_text,
    body_length,
    descriptor_lines,
    instruction_text,
    label_offset,
    quoted,
)
from npuc.isa.descriptors import Segment
from npuc.isa.encoding import decode
from npuc.isa.errors import UsageError
from npuc.isa.instructions import Instruction
from npuc.isa.program import NO_REMARKS, Argument, Program, SourceRange
from npuc.isa.target import builtin_target_names, target_text

__all__ = ["disassemble", "instruction_text", "listing"]
CONSTANTS_PER_LINE = 32
NUMBER = 6  # columns of an instruction's number in a listing
DIRECTIVES = {
    "views": ".view",
    "maps": ".map",
    "kernels": ".kernel",
    "params": ".params",
    "tables": ".table",
}


def disassemble(program: Program) -> str:
    """The whole program as text; assembling it gives the same file, byte for byte.

    Raises: EncodingError where a row of the code is no instruction.
    """
    lines = [*_head(program), *_tables(program), *_constants(program)]
    for core in range(len(program.code)):
        lines += ["", f".core {core} {{", *_code(program, core), "}"]
    return "\n".join(lines) + "\n"


def listing(program: Program, group: str) -> str:
    """The instructions of one group, numbered, with each descriptor at its first use.

    Raises: UsageError where no group is called ``group``; it names those that exist.
    """
    sources = [s for s in program.debug.sources if s.group == group]
    if not sources:
        groups = dict.fromkeys(s.group for s in program.debug.sources)
        raise UsageError("unknown group", given=group, allowed=", ".join(groups) or "none",
                         next_step="name one of these groups")  # fmt: skip
    lines: list[str] = []
    seen: set[tuple[str, int]] = set()
    for source in sources:
        nodes = ", ".join(source.nodes) or "no node"
        span = f"core {source.core}, instructions {source.start} to {source.stop - 1}"
        lines += ["", f"{group}: {span}, from {nodes}"]
        lines += _listed(program, source, seen)
    return "\n".join(lines[1:]) + "\n"


def _head(program: Program) -> list[str]:
    debug = program.debug
    lines = ["; npuc assembly", *_target(program)]
    if program.extensions:
        lines.append(f".extensions {quoted(''.join(program.extensions))}")
    lines.append(f".model {quoted(debug.model_name)}")
    lines.append(f".schedule {quoted(debug.schedule_json)}")
    if debug.remarks_json != NO_REMARKS:
        lines.append(f".remarks {quoted(debug.remarks_json)}")
    lines.append(f".scratch {program.scratch_bytes}")
    arguments = (*program.inputs, *program.outputs, *program.states)
    lines += [f".{_role(a)} {argument_text(a)}" for a in arguments]
    for b in debug.buffers:
        tensor = f" tensor {quoted(b.tensor)}" if b.tensor else ""
        place = f"core {b.core} {b.space} {b.offset} {b.n_bytes}"
        lines.append(f".buffer {quoted(b.name)} {place}{tensor}")
    return lines + [f".source {_source(s)}" for s in debug.sources]


def _role(argument: Argument) -> str:
    return "argument" if argument.segment is Segment.arguments else argument.segment.name


def _target(program: Program) -> list[str]:
    name = program.target.name
    if name in builtin_target_names() and target_text(name) == program.target_toml:
        return [f".target {quoted(name)}"]
    return [f".toml {quoted(line)}" for line in program.target_toml.splitlines(keepends=True)]


def _source(source: SourceRange) -> str:
    operation = f" operation {quoted(source.operation)}" if source.operation else ""
    nodes = f" nodes {', '.join(map(quoted, source.nodes))}" if source.nodes else ""
    place = f"core {source.core} {source.start} {source.stop}"
    return f"{quoted(source.group)} {place}{operation}{nodes}"


def _tables(program: Program) -> Iterator[str]:
    for table, directive in DIRECTIVES.items():
        for index in range(len(getattr(program, table))):
            first, *rest = descriptor_lines(program, table, index)
            yield from (f"{directive} {first}", *rest)


def _constants(program: Program) -> Iterator[str]:
    if not program.constants.size:
        return
    raw = program.constants.tobytes()
    yield ".constants {"
    for start in range(0, len(raw), CONSTANTS_PER_LINE):
        yield f"  {raw[start : start + CONSTANTS_PER_LINE].hex()}"
    yield "}"


def _code(program: Program, core: int) -> Iterator[str]:
    """The lines between a core's braces; where a group begins, a comment names its nodes."""
    instructions = decode(program.code[core])
    labels = _labels(instructions)
    around = Surroundings.of(program, core)
    comments = _comments(program, core)
    bodies = _Bodies(len(instructions))
    for position, instruction in enumerate(instructions):
        yield from bodies.closed(position)
        indent = bodies.indent
        yield from (indent + comment for comment in comments.get(position, ()))
        if position in labels:
            yield f"{labels[position]}:"
        text = instruction_text(instruction, _towards(around, instruction, position, labels))
        yield indent + bodies.opened(text, instruction, position)
    yield from bodies.closed(len(instructions))
    if len(instructions) in labels:
        yield f"{labels[len(instructions)]}:"


def _comments(program: Program, core: int) -> dict[int, list[str]]:
    """First instruction of each source range of ``core`` -> group and nodes."""
    found: dict[int, list[str]] = {}
    for source in program.debug.sources:
        if source.core == core:
            nodes = f": {', '.join(map(quoted, source.nodes))}" if source.nodes else ""
            found.setdefault(source.start, []).append(f"; {quoted(source.group)}{nodes}")
    return found


class _Bodies:
    """The loop bodies that are open while the lines of ``n_rows`` instructions are written."""

    def __init__(self, n_rows: int) -> None:
        self.ends = [n_rows]

    @property
    def indent(self) -> str:
        return "  " * len(self.ends)

    def closed(self, position: int) -> Iterator[str]:
        """Closing braces of the bodies that end before ``position``."""
        while len(self.ends) > 1 and self.ends[-1] == position:
            self.ends.pop()
            yield self.indent + "}"

    def opened(self, text: str, instruction: Instruction, position: int) -> str:
        """``text`` with the brace that opens its body; a number where braces cannot say it."""
        body = body_length(instruction)
        if body is None:
            return text
        end = position + 1 + body
        if end > self.ends[-1] or len(self.ends) > MAX_BRACES:
            return f"{text}, body={body}"
        self.ends.append(end)
        return f"{text} {{"


def _labels(instructions: list[Instruction]) -> dict[int, str]:
    """Names of the places that branches go to, where these exist."""
    places = set()
    for position, instruction in enumerate(instructions):
        offset = label_offset(instruction)
        if offset is not None:
            places.add(position + offset)
    return {place: f"L{place}" for place in sorted(places) if 0 <= place <= len(instructions)}


def _towards(
    around: Surroundings, instruction: Instruction, position: int, labels: dict[int, str]
) -> Surroundings:
    offset = label_offset(instruction)
    if offset is None:
        return around
    return replace(around, label=labels.get(position + offset, ""))


def _listed(program: Program, source: SourceRange, seen: set[tuple[str, int]]) -> Iterator[str]:
    instructions = decode(program.code[source.core][source.start : source.stop])
    labels = _labels(instructions)
    named = {place: f"@{source.start + place}" for place in labels}
    around = Surroundings.of(program, source.core)
    bodies = _Bodies(len(instructions))
    for position, instruction in enumerate(instructions):
        yield from (NUMBER * " " + brace for brace in bodies.closed(position))
        indent = bodies.indent
        text = instruction_text(instruction, _towards(around, instruction, position, named))
        text = bodies.opened(text, instruction, position)
        yield f"{source.start + position:{NUMBER}}{indent}{text}"
        for line in _new_descriptors(program, instruction, seen):
            yield NUMBER * " " + f"{indent}    ; {line}"
    yield from (NUMBER * " " + brace for brace in bodies.closed(len(instructions)))


def _new_descriptors(
    program: Program, instruction: Instruction, seen: set[tuple[str, int]]
) -> Iterator[str]:
    for name, spec, _ in instruction.layout():
        if spec.kind not in TABLES:
            continue
        row = (TABLES[spec.kind], getattr(instruction, name))
        if row not in seen and row[1] < len(getattr(program, row[0])):
            seen.add(row)
            yield from descriptor_lines(program, *row)
