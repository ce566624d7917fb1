"""Map registers: tensor maps whose base, extents and strides are found at run time.

A core has 16 map registers, empty at the start. A transfer through one uses what it holds when
the transfer is dispatched; later changes do not touch commands that are in a queue.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from npuc.isa.instructions.base import Field, Instruction, Kind, imm, operand, reg
from npuc.isa.instructions.dma import Load, Store

MAP_REGISTERS = 16
MAP_PARTS = ("base", "extent", "stride")


def map_register() -> Any:
    """The number of a map register."""
    return operand(Field(Kind.count, 4))


@dataclass(frozen=True)
class LoadMap(Instruction):
    """Copy a tensor map of the program into map register ``number``."""

    mnemonic: ClassVar[str] = "mld"
    opcode: ClassVar[int] = 0x38
    meaning: ClassVar[str] = "map_register[number] = map"

    number: int = map_register()
    map: int = operand(Field(Kind.map, 16))


@dataclass(frozen=True)
class SetMap(Instruction):
    """Set one part of a map register to ``ra + value``.

    ``part`` is the base, or the extent or DRAM stride of dimension ``dim`` (0 for the base). Base
    and strides are bytes; an extent is 0 to 2^32 - 1. The map must stay inside its segment when a
    transfer uses it.
    """

    mnemonic: ClassVar[str] = "mset"
    opcode: ClassVar[int] = 0x39
    meaning: ClassVar[str] = "map_register[number].part[dim] = ra + value"

    number: int = map_register()
    dim: int = operand(Field(Kind.count, 3))
    ra: int = reg()
    value: int = imm(48)
    part: int = operand(Field(Kind.choice, 2, MAP_PARTS))


@dataclass(frozen=True)
class LoadMapped(Load):
    """``ld`` through map register ``map``: its tensor map is captured at dispatch."""

    mnemonic: ClassVar[str] = "ldm"
    opcode: ClassVar[int] = 0x46
    meaning: ClassVar[str] = "ld with map_register[map]"

    map: int = map_register()


@dataclass(frozen=True)
class StoreMapped(Store):
    """``st`` through map register ``map``: its tensor map is captured at dispatch."""

    mnemonic: ClassVar[str] = "stm"
    opcode: ClassVar[int] = 0x47
    meaning: ClassVar[str] = "st with map_register[map]"

    map: int = map_register()


INSTRUCTIONS: tuple[type[Instruction], ...] = (LoadMap, SetMap, LoadMapped, StoreMapped)
