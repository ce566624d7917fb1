"""Assembly text to programs; ``disassembler`` writes the same text."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lark import Token, Tree

from npuc.isa.assembly.code import CoreReader
from npuc.isa.assembly.descriptors import (
    code_of,
    read_kernel,
    read_map,
    read_params,
    read_table,
    read_view,
)
from npuc.isa.assembly.reading import NEXT, fail, parse, present, signed, subtree, token, uint
from npuc.isa.container.checks import check_program
from npuc.isa.descriptors import Segment
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.errors import AssemblyError, EncodingError, TargetError
from npuc.isa.program import (
    NO_REMARKS,
    Argument,
    BufferRecord,
    Code,
    Debug,
    Program,
    Quantisation,
    SourceRange,
)
from npuc.isa.target import parse_target, target_text

READERS = {
    "views": ("view", read_view),
    "maps": ("map", read_map),
    "kernels": ("kernel", read_kernel),
    "params": ("params", read_params),
    "tables": ("table", read_table),
}


def assemble(text: str, origin: str) -> Program:
    """The program that ``text`` describes; ``origin`` names it in messages.

    Raises: AssemblyError with line, column, what was given and what is allowed.
    """
    try:
        return _Reader().read(parse(text))
    except AssemblyError as error:
        error.where = f"{origin}, {error.where}" if error.where else origin
        raise


@dataclass
class _Reader:
    """Collects the statements of one text."""

    once: dict[str, Tree[Token]] = field(default_factory=dict)
    toml: list[str] = field(default_factory=list)
    arguments: dict[Segment, list[Argument]] = field(
        default_factory=lambda: {Segment.input: [], Segment.output: [], Segment.state: []}
    )
    buffers: list[BufferRecord] = field(default_factory=list)
    sources: list[SourceRange] = field(default_factory=list)
    names: dict[str, dict[str, int]] = field(default_factory=lambda: {t: {} for t in READERS})
    tables: dict[str, list[Any]] = field(default_factory=lambda: {t: [] for t in READERS})
    cores: list[Tree[Token]] = field(default_factory=list)

    def read(self, tree: Tree[Token]) -> Program:
        """The program of the whole tree."""
        for child in tree.children:
            self._statement(subtree(child))
        toml = self._target_text()
        try:
            target = parse_target(toml, "the target")
        except TargetError as error:
            raise AssemblyError(error.what, error.where, error.given, error.allowed) from error
        inputs, outputs, states = (tuple(found) for found in self.arguments.values())
        program = Program(
            target, toml, tuple(self._code()),
            **{table: tuple(rows) for table, rows in self.tables.items()},
            constants=self._constants(), inputs=inputs, outputs=outputs, states=states,
            scratch_bytes=self._number("scratch"), extensions=tuple(self._text("extensions", "")),
            debug=Debug(tuple(self.sources), tuple(self.buffers), self._text("schedule", "{}"),
                        self._text("model", ""), self._text("remarks", NO_REMARKS)),
        )  # fmt: skip
        try:
            check_program(program)
        except EncodingError as error:
            raise AssemblyError(error.what, error.where, error.given, error.allowed) from error
        return program

    def _statement(self, tree: Tree[Token]) -> None:
        table = next((t for t, (rule, _) in READERS.items() if rule == tree.data), None)
        if table:
            self._descriptor(table, tree)
        elif tree.data == "toml":
            self.toml.append(_string(tree.children[0]))
        elif tree.data == "argument":
            self._argument(tree)
        elif tree.data == "buffer":
            self.buffers.append(_buffer(tree))
        elif tree.data == "source":
            self.sources.append(_source(tree))
        elif tree.data == "core":
            self._core(tree)
        elif tree.data in self.once:
            raise fail(tree, f".{tree.data} stands twice")
        else:
            self.once[tree.data] = tree

    def _descriptor(self, table: str, tree: Tree[Token]) -> None:
        name = token(tree.children[0])
        if str(name) in self.names[table]:
            raise fail(name, "a name is defined twice", name)
        self.names[table][str(name)] = len(self.tables[table])
        self.tables[table].append(READERS[table][1](tree))

    def _argument(self, tree: Tree[Token]) -> None:
        role, name, dtype, shape, offset, quant = tree.children
        word = str(role).removeprefix(".")
        segment = Segment.arguments if word == "argument" else Segment[word]
        self.arguments[Segment.input if word == "argument" else segment].append(
            Argument(
                _string(name), code_of(DType, dtype),
                tuple(uint(extent) for extent in present(subtree(shape))), segment, uint(offset),
                None if quant is None else _quantisation(subtree(quant)),
            )
        )  # fmt: skip

    def _core(self, tree: Tree[Token]) -> None:
        if uint(tree.children[0]) != len(self.cores):
            raise fail(tree, "cores are out of order", tree.children[0], f"{len(self.cores)}")
        self.cores.append(tree)

    def _code(self) -> list[Code]:
        readers = (CoreReader(core, self.names) for core in range(len(self.cores)))
        return [encode(r.read(t.children[1:])) for r, t in zip(readers, self.cores, strict=True)]

    def _target_text(self) -> str:
        target = self.once.get("target")
        if (target is None) == (not self.toml):
            raise AssemblyError(
                "the text needs one target", given="both" if target else "none",
                allowed='.target "NAME", or .toml lines', next_step=NEXT,
            )  # fmt: skip
        if target is None:
            return "".join(self.toml)
        try:
            return target_text(_string(target.children[0]))
        except TargetError as error:
            raise fail(target, error.what, error.given, error.allowed) from error

    def _constants(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        tree = self.once.get("constants")
        digits = "" if tree is None else "".join(str(line) for line in tree.children)
        return np.frombuffer(bytes.fromhex(digits), np.uint8)

    def _text(self, directive: str, otherwise: str) -> str:
        tree = self.once.get(directive)
        return otherwise if tree is None else _string(tree.children[0])

    def _number(self, directive: str) -> int:
        tree = self.once.get(directive)
        return 0 if tree is None else uint(tree.children[0])


def _string(node: object) -> str:
    literal = token(node)
    try:
        text: str = json.loads(str(literal))
        text.encode()
    except ValueError as error:
        raise fail(literal, "a string literal is malformed", literal, error) from error
    return text


def _quantisation(tree: Tree[Token]) -> Quantisation:
    scale, zero_point = tree.children
    return Quantisation(float(str(scale)), signed(zero_point))


def _buffer(tree: Tree[Token]) -> BufferRecord:
    name, core, space, offset, n_bytes, tensor = tree.children
    return BufferRecord(_string(name), uint(core), str(space), uint(offset), uint(n_bytes),
                        "" if tensor is None else _string(tensor))  # fmt: skip


def _source(tree: Tree[Token]) -> SourceRange:
    group, core, start, stop, operation, nodes = tree.children
    return SourceRange(
        uint(core), uint(start), uint(stop), _string(group),
        () if nodes is None else tuple(_string(n) for n in subtree(nodes).children),
        "" if operation is None else _string(operation),
    )  # fmt: skip
