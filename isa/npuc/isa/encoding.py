"""Instructions to bits and back, derived from the instruction classes.

``encode`` and ``decode`` work on instruction objects; ``decode_fields`` extracts one field of many
instructions at once for the emulator.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from npuc.isa.errors import EncodingError
from npuc.isa.instructions import (
    BY_OPCODE,
    Command,
    Counter,
    Engine,
    Field,
    Instruction,
    Kind,
    Wait,
)
from npuc.isa.instructions.base import INSTRUCTION_BYTES, WAIT_IMM_MAX, WAIT_IMM_MIN

Rows = npt.NDArray[np.uint8]
INCREMENT_BIT = 8
WAIT_BITS = (16, 48)
ENGINE_BIT = 25  # of the engine code in a wait
WORDS = INSTRUCTION_BYTES // 8
_ORDER_FIELDS = (
    (Field(Kind.count, 6), INCREMENT_BIT),
    (Field(Kind.count, 32), WAIT_BITS[0]),
    (Field(Kind.count, 32), WAIT_BITS[1]),
)


def encode(instructions: Sequence[Instruction]) -> Rows:
    """Rows of 32 bytes. Raises: EncodingError naming instruction, field, value and range."""
    rows = [encode_one(each).to_bytes(INSTRUCTION_BYTES, "little") for each in instructions]
    return np.frombuffer(bytearray().join(rows), np.uint8).reshape(-1, INSTRUCTION_BYTES)


def encode_one(instruction: Instruction) -> int:
    """The 256 bits of one instruction as a number."""
    bits = instruction.opcode
    if isinstance(instruction, Command):
        bits |= _encode_order(instruction)
    for name, spec, start in instruction.layout():
        value = getattr(instruction, name)
        _check(instruction, name, value, spec.limits)
        bits |= (int(value) & ((1 << spec.width) - 1)) << start
    return bits


def decode(rows: Rows) -> list[Instruction]:
    """The instructions in ``rows``. Raises: EncodingError naming the first bad row."""
    return [decode_one(int.from_bytes(row.tobytes(), "little"), i) for i, row in enumerate(rows)]


def decode_one(bits: int, position: int = 0) -> Instruction:
    """The instruction with these 256 bits. Raises: EncodingError (unknown opcode, stray bits)."""
    cls = BY_OPCODE.get(bits & 0xFF)
    if cls is None:
        raise EncodingError("unknown opcode", f"instruction {position}", hex(bits & 0xFF))
    try:
        values: dict[str, Any] = {n: _from_field(bits, f, b) for n, f, b in cls.layout()}
        if issubclass(cls, Command):
            values |= _decode_order(bits)
    except EncodingError as error:
        error.where = f"instruction {position}, {cls.mnemonic}"
        raise
    instruction = cls(**values)
    if encode_one(instruction) != bits:
        raise EncodingError("reserved bits are not zero", f"instruction {position}", cls.mnemonic)
    return instruction


def check_rows(rows: Rows) -> None:
    """Raise EncodingError for the first row that ``decode`` refuses, at array speed."""
    words = np.ascontiguousarray(rows).view("<u8").reshape(len(rows), WORDS)
    is_bad = np.ones(len(rows), bool)
    for opcode, cls in BY_OPCODE.items():
        chosen = np.flatnonzero(rows[:, 0] == opcode)
        if len(chosen):
            stray = (words[chosen] & ~_meaningful(cls)).any(axis=1)
            is_bad[chosen] = stray | _has_bad_code(cls, rows[chosen])
    for position in np.flatnonzero(is_bad):
        decode_one(int.from_bytes(rows[position].tobytes(), "little"), int(position))


def _meaningful(cls: type[Instruction]) -> npt.NDArray[np.uint64]:
    """The bits of the words that ``cls`` gives a meaning to."""
    bits = 0xFF
    if issubclass(cls, Command):
        bits |= 0x3F << INCREMENT_BIT | 0xFFFFFFFF << WAIT_BITS[0] | 0xFFFFFFFF << WAIT_BITS[1]
    for _, spec, start in cls.layout():
        bits |= ((1 << spec.width) - 1) << start
    return np.frombuffer(bits.to_bytes(INSTRUCTION_BYTES, "little"), "<u8")


def _has_bad_code(cls: type[Instruction], rows: Rows) -> npt.NDArray[np.bool_]:
    """Rows of ``cls`` that may hold a code without meaning, or an order that is not canonical."""
    is_bad = np.zeros(len(rows), bool)
    for _, spec, start in cls.layout():
        if spec.kind is Kind.choice:
            is_bad |= decode_fields(rows, spec, start) >= len(spec.choices)
    if issubclass(cls, Command):
        increment, first, second = (decode_fields(rows, spec, b) for spec, b in _ORDER_FIELDS)
        is_bad |= (increment > 0) & (increment < 1 << 5) | (first == 0) & (second != 0)
        for wait in (first, second):
            is_bad |= (wait >> ENGINE_BIT & 7) >= len(Engine)
    return is_bad


def decode_fields(rows: Rows, spec: Field, start: int) -> npt.NDArray[np.int64]:
    """One field of every row, sign-extended where the field is signed."""
    words = np.ascontiguousarray(rows).view("<u8").reshape(len(rows), WORDS)
    word, shift = divmod(start, 64)
    value = words[:, word] >> np.uint64(shift)
    if shift + spec.width > 64:
        value = value | (words[:, word + 1] << np.uint64(64 - shift))
    if spec.width < 64:
        value = value & np.uint64((1 << spec.width) - 1)
    signed = value.astype(np.int64)
    if spec.is_signed and spec.width < 64:
        signed = np.where(signed >> (spec.width - 1), signed - (1 << spec.width), signed)
    return signed


def _encode_order(command: Command) -> int:
    bits = 0
    if command.increment is not None:
        _check(command, "increment", command.increment, (0, 31))
        bits |= (command.increment | 1 << 5) << INCREMENT_BIT
    if len(command.waits) > len(WAIT_BITS):
        raise EncodingError("too many waits", str(command), str(len(command.waits)), "at most 2")
    words = [_encode_wait(command, wait) for wait in command.waits]
    named = [word for word in words if word]  # a wait whose bits are all zero holds at once
    for word, start in zip(named, WAIT_BITS, strict=False):
        bits |= word << start
    return bits


def _encode_wait(command: Command, wait: Wait) -> int:
    _check(command, "threshold", wait.imm, (WAIT_IMM_MIN, WAIT_IMM_MAX))
    _check(command, "threshold register", wait.reg, (0, 31))
    _check(command, "counter core", wait.counter.core, (0, 15))
    _check(command, "counter index", wait.counter.index, (0, 31))
    counter = wait.counter.core << 8 | wait.counter.engine.value << 5 | wait.counter.index
    return wait.imm & 0x7FFF | wait.reg << 15 | counter << 20


def _decode_order(bits: int) -> dict[str, object]:
    increment = bits >> INCREMENT_BIT & 0x3F
    waits = tuple(
        _decode_wait(bits >> start & 0xFFFFFFFF)
        for start in WAIT_BITS
        if bits >> start & 0xFFFFFFFF
    )
    return {"waits": waits, "increment": increment & 31 if increment >> 5 else None}


def _decode_wait(word: int) -> Wait:
    threshold = word & 0x7FFF
    engine = word >> ENGINE_BIT & 7
    if engine >= len(Engine):
        raise EncodingError("a wait names no engine", given=str(engine), allowed="0 to 5")
    counter = Counter(word >> 28, Engine(engine), word >> 20 & 31)
    return Wait(counter, word >> 15 & 31, threshold - (1 << 15) if threshold >> 14 else threshold)


def _from_field(bits: int, spec: Field, start: int) -> int:
    value = bits >> start & ((1 << spec.width) - 1)
    if spec.is_signed and value >> (spec.width - 1):
        value -= 1 << spec.width
    if spec.kind is Kind.choice and value >= len(spec.choices):
        raise EncodingError(
            "a field holds an unknown code", given=str(value), allowed=", ".join(spec.choices)
        )
    return value


def _check(instruction: Instruction, name: str, value: int, limits: tuple[int, int]) -> None:
    low, high = limits
    if not low <= value <= high:
        raise EncodingError(
            "a field is out of range",
            f"{instruction.mnemonic}, {name}",
            str(value),
            f"{low} to {high}",
        )
