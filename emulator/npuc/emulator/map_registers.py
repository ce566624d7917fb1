"""The map registers of one core while control runs: what transfers capture at dispatch."""

from dataclasses import dataclass, field, replace

import numpy as np

from npuc.emulator.decode import CoreCode, DecodedProgram
from npuc.emulator.stream import NO_MAP, CommandStream, Int64s
from npuc.emulator.validate import execution_error
from npuc.isa.descriptors import TensorMap
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions.maps import MAP_PARTS, LoadMap, LoadMapped, SetMap, StoreMapped

MAPPED = (LoadMapped.opcode, StoreMapped.opcode)
MAP_OPCODES = (LoadMap.opcode, SetMap.opcode)
_LARGEST_EXTENT = (1 << 32) - 1
_LARGEST_BYTES = 1 << 62


@dataclass
class MapRegisters:
    """``held`` by number; ``captured`` gives each distinct map that was used its number."""

    decoded: DecodedProgram
    code: CoreCode
    held: dict[int, TensorMap] = field(default_factory=dict)
    captured: dict[TensorMap, int] = field(default_factory=dict)
    uses: list[tuple[int, int]] = field(default_factory=list)

    def execute(self, at: int, registers: Int64s | list[int]) -> None:
        """Carry out the ``mld`` or ``mset`` at an instruction. Raises: ExecutionError."""
        number = self._column("number", at)
        if self.code.opcode[at] == LoadMap.opcode:
            self.held[number] = self.decoded.program.maps[self._column("map", at)]
            return
        value = int(registers[self._column("ra", at)]) + self._column("value", at)
        self.held[number] = self._changed(at, self._of(number, at), value)

    def capture(self, at: int, command: int) -> None:
        """Note the map that a transfer uses; ``command`` counts since the last ``put``."""
        made = self._of(self._column("map", at), at)
        self.uses.append((command, self.captured.setdefault(made, len(self.captured))))

    def put(self, stream: CommandStream) -> CommandStream:
        """The stream with the maps that its transfers captured."""
        numbers = np.full(len(stream), NO_MAP, np.int64)
        for command, number in self.uses:
            numbers[command] = number
        self.uses = []
        return replace(stream, map_number=numbers, maps=tuple(self.captured))

    def _column(self, name: str, at: int) -> int:
        return int(self.code.columns[name][at])

    def _of(self, number: int, at: int) -> TensorMap:
        if number not in self.held:
            raise self._error(at, "a map register is empty", str(number), "one that mld filled")
        return self.held[number]

    def _changed(self, at: int, held: TensorMap, value: int) -> TensorMap:
        part, dim = MAP_PARTS[self._column("part", at)], self._column("dim", at)
        low, high = (0, _LARGEST_EXTENT) if part == "extent" else (-_LARGEST_BYTES, _LARGEST_BYTES)
        rank = len(held.extents)
        if dim >= (1 if part == "base" else rank):
            raise self._error(at, "a map has no such dimension", str(dim), f"less than {rank}")
        if not max(low, 0 if part == "base" else low) <= value <= high:
            raise self._error(at, f"a map's {part} is out of range", str(value), f"{low} to {high}")
        if part == "base":
            return replace(held, base=value)
        if part == "extent":
            return replace(held, extents=_with(held.extents, dim, value))
        return replace(held, dram_strides=_with(held.dram_strides, dim, value))

    def _error(self, at: int, what: str, given: str, allowed: str) -> ExecutionError:
        return execution_error(self.decoded, self.code.core, at, what, given=given, allowed=allowed)


def _with(values: tuple[int, ...], dim: int, value: int) -> tuple[int, ...]:
    return (*values[:dim], value, *values[dim + 1 :])
