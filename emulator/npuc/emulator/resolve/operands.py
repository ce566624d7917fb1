"""Views with registers resolved, and the dispatches of one instruction taken together."""

from dataclasses import dataclass, replace

import numpy as np

from npuc.emulator.decode import CoreCode, DecodedProgram
from npuc.emulator.footprint import Mask, coupled_points, touched_range
from npuc.emulator.limits import MAX_POINTS
from npuc.emulator.region import (
    NoWork,
    Region,
    Work,
)
from npuc.emulator.stream import Int64s
from npuc.emulator.validate import (
    space_bytes,
)
from npuc.isa.descriptors import Space, TensorMap, View
from npuc.isa.errors import BoundsError, CapacityError, ExecutionError

MAX_COUPLED_POINTS = 1 << 18  # of dimensions in one window, where only single points decide


@dataclass(frozen=True)
class Rule:
    """What a dispatch breaks, in one sentence, and the error that tells it."""

    error: type[ExecutionError]
    what: str


def undefined(what: str) -> Rule:
    """A command that the machine gives no meaning."""
    return Rule(ExecutionError, what)


def bounds(what: str) -> Rule:
    """A command that leaves a memory."""
    return Rule(BoundsError, what)


@dataclass(frozen=True)
class Fault:
    """Row ``row`` of the dispatches of an instruction breaks ``rule``."""

    row: int
    rule: Rule
    given: str
    allowed: str


@dataclass(frozen=True)
class Operand:
    """One view operand over n dispatches: addresses n, extents n x rank, origins n x windows."""

    view: View
    address: Int64s
    extents: Int64s
    origins: Int64s

    def region(self, row: int) -> Region:
        """The operand of one dispatch."""
        return Region(
            self.view,
            self.address.item(row),
            tuple(self.extents[row].tolist()),
            tuple(self.origins[row].tolist()) if self.view.windows else (),
        )


@dataclass(frozen=True)
class Dispatches:
    """Dispatches of instruction ``at``: ``registers`` n x 32, and the map that all captured."""

    at: int
    registers: Int64s
    captured: TensorMap | None = None


class Group:
    """All dispatches of one instruction; this base is one that moves no data."""

    def __init__(self, decoded: DecodedProgram, code: CoreCode, dispatches: Dispatches) -> None:
        self.decoded, self.code = decoded, code
        self.at, self.registers = dispatches.at, dispatches.registers
        self.captured = dispatches.captured
        self.faults: list[Fault] = []
        self.broken = np.zeros(len(self.registers), bool)
        self.points = np.zeros(len(self.registers))
        self.build()

    def build(self) -> None:
        """Resolve and check; nothing to do here."""

    def work(self, row: int) -> Work:
        """The work of one dispatch."""
        return NoWork()

    def column(self, name: str) -> int:
        """An operand field of the instruction."""
        return int(self.code.columns[name][self.at])

    def fault(self, bad: Mask, rule: Rule, given: Int64s, allowed: object) -> None:
        """Note the rows that are bad; the first one as a witness."""
        if bad.any():
            row = int(np.argmax(bad))
            self.broken |= bad
            self.faults.append(Fault(row, rule, str(given[row].tolist()), str(allowed)))

    def operand(self, name: str) -> Operand:
        """Resolve one view operand and check its extents and bounds."""
        view = self.decoded.program.views[self.column(name)]
        operand = resolve_view(view, self.registers)
        limits = np.array(view.extents, np.int64)
        over = np.any((operand.extents < 0) | (operand.extents > limits), axis=1)
        self.fault(
            over,
            undefined(f"an extent of operand {name} is out of range"),
            operand.extents,
            f"0 to {view.extents}",
        )
        operand = self._limited(name, replace(operand, extents=operand.extents.clip(0, limits)))
        self._check_bounds(name, operand)
        return operand

    def _limited(self, name: str, operand: Operand) -> Operand:
        """The operand, empty in the rows with more points than any command can have."""
        points = np.maximum(operand.extents, 1).astype(np.float64).prod(axis=1)
        over = points > MAX_POINTS
        too_many = Rule(CapacityError, f"operand {name} has too many points")
        self.fault(over, too_many, operand.extents, f"at most {MAX_POINTS}")
        self.points = np.maximum(self.points, np.where(over, 0, points))
        return replace(operand, extents=np.where(over[:, np.newaxis], 0, operand.extents))

    def _check_bounds(self, name: str, operand: Operand) -> None:
        view = operand.view
        size = space_bytes(self.decoded.target, view.space)
        if view.space is Space.acc:
            self.fault(
                operand.address % 4 != 0,
                undefined(f"operand {name} is not aligned to ACC words"),
                operand.address,
                "multiples of 4",
            )
        low, high = byte_range(operand)
        outside = (low < 0) | (high > size)
        entangled = np.zeros(len(outside), bool)
        for row in np.flatnonzero(outside).tolist() if view.windows else ():
            entangled[row] = coupled_points(operand.region(row)) > MAX_COUPLED_POINTS
        rule = Rule(CapacityError, f"windows of operand {name} take too many points together")
        self.fault(entangled, rule, operand.extents, f"at most {MAX_COUPLED_POINTS}")
        outside &= ~entangled
        for row in np.flatnonzero(outside).tolist() if view.windows else ():
            first, stop = touched_range(operand.region(row))
            outside[row] = first < 0 or stop > size
        self.fault(
            outside,
            bounds(f"operand {name} leaves {view.space.name}"),
            np.stack([low, high], axis=1),
            f"bytes 0 to {size}",
        )


def resolve_view(view: View, registers: Int64s) -> Operand:
    """A view over the register snapshots (n x 32) of n dispatches."""
    dynamic = np.array(view.extent_regs, np.int64)
    extents = np.where(dynamic > 0, registers[:, dynamic], np.array(view.extents, np.int64))
    origins = (
        np.array([w.origin for w in view.windows], np.int64)
        + registers[:, np.array([w.origin_reg for w in view.windows], np.int64)]
    )
    return Operand(view, view.base + registers[:, view.base_reg], extents, origins)


def byte_range(operand: Operand) -> tuple[Int64s, Int64s]:
    """First byte and byte after the last, windows ignored; 0, 0 where there is no point."""
    spans = (operand.extents - 1) * np.array(operand.view.strides, np.int64)
    low = operand.address + np.minimum(spans, 0).sum(axis=1)
    high = operand.address + np.maximum(spans, 0).sum(axis=1) + operand.view.dtype.bytes
    empty = (operand.extents <= 0).any(axis=1)
    return np.where(empty, 0, low), np.where(empty, 0, high)
