"""Instructions and their bits: round trips for every class, and that no other bits decode."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.isa.encoding import (
    check_rows,
    decode,
    decode_fields,
    decode_one,
    encode,
    encode_one,
)
from npuc.isa.errors import EncodingError
from npuc.isa.instructions import (
    BY_MNEMONIC,
    BY_OPCODE,
    INSTRUCTIONS,
    Command,
    Counter,
    Engine,
    Instruction,
    Kind,
    Wait,
)  # fmt: skip
from npuc.isa.instructions.dma import Load
from npuc.isa.instructions.flow import Branch, Halt, Loop
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Nop
from npuc.isa.instructions.scalar import Add, Scalar
from tests.isa.strategies import INSTRUCTION, instructions_of

CLASSES = pytest.mark.parametrize("cls", INSTRUCTIONS, ids=lambda cls: cls.mnemonic)


@CLASSES
def test_bits_of_any_instruction_come_back(cls: type[Instruction]) -> None:
    @given(instructions_of(cls))
    def round_trip(instruction: Instruction) -> None:
        bits = encode_one(instruction)
        assert 0 <= bits < 1 << 256
        assert decode_one(bits) == instruction

    round_trip()


@given(st.lists(INSTRUCTION, max_size=9))
def test_rows_of_any_program_come_back(instructions: list[Instruction]) -> None:
    rows = encode(instructions)
    assert rows.shape == (len(instructions), 32) and rows.dtype == np.uint8
    assert decode(rows) == instructions
    check_rows(rows)


def meaningful_bits(cls: type[Instruction]) -> set[int]:
    """Bits that hold opcode, order or an operand, counted from the published layout."""
    bits = set(range(8))
    if issubclass(cls, Command):
        bits |= set(range(8, 14)) | set(range(16, 80))
    start = 80
    for _, spec, first in cls.layout():
        assert first == start, "operands are packed without gaps"
        bits |= set(range(start, start + spec.width))
        start += spec.width
    return bits


@CLASSES
def test_every_reserved_bit_is_refused(cls: type[Instruction]) -> None:
    bits = encode_one(cls())
    for position in sorted(set(range(256)) - meaningful_bits(cls)):
        flipped = bits ^ 1 << position
        with pytest.raises(EncodingError, match="reserved bits are not zero") as caught:
            decode_one(flipped, 7)
        assert caught.value.where == "instruction 7"
        with pytest.raises(EncodingError, match="reserved bits are not zero"):
            check_rows(row_of(flipped))


def row_of(bits: int) -> np.ndarray:
    return np.frombuffer(bits.to_bytes(32, "little"), np.uint8).reshape(1, 32)


def test_every_other_opcode_is_refused() -> None:
    for opcode in sorted(set(range(256)) - set(BY_OPCODE)):
        with pytest.raises(EncodingError, match="unknown opcode"):
            decode_one(opcode)
        with pytest.raises(EncodingError, match="unknown opcode"):
            check_rows(row_of(opcode))


@pytest.mark.parametrize("seed", range(3))
def test_fast_check_and_decoder_agree(seed: int) -> None:
    chosen = random.Random(seed)
    opcodes = sorted(BY_OPCODE)
    for _ in range(1500):
        bits = encode_one(BY_OPCODE[chosen.choice(opcodes)]())
        for _ in range(chosen.randrange(1, 5)):
            bits ^= 1 << chosen.randrange(8, 256)
        assert is_refused(decode, row_of(bits)) == is_refused(check_rows, row_of(bits))


def is_refused(check: object, rows: np.ndarray) -> bool:
    try:
        check(rows)  # type: ignore[operator]
    except EncodingError:
        return True
    return False


LAYOUTS = [
    (Add(1, 2, 3, -1), 0x01 | 1 << 80 | 2 << 85 | 3 << 90 | ((1 << 64) - 1) << 95),
    (Halt(), 0x24),
    (Loop(4, -1, 3), 0x20 | 4 << 80 | 0xFFFFFFFF << 85 | 3 << 117),
    (Branch(1, -2), 0x22 | 1 << 80 | (0xFFFFFE) << 85),
    (Mma(1, 2, 3, 1, 4), 0x50 | 1 << 80 | 2 << 96 | 3 << 112 | 1 << 128 | 4 << 129),
    (
        Nop(5, waits=(Wait(Counter(1, Engine.st, 2), 3, -1),), increment=4),
        0x60 | (32 | 4) << 8 | (0x7FFF | 3 << 15 | 2 << 20 | 3 << 25 | 1 << 28) << 16 | 5 << 80,
    ),
]


@pytest.mark.parametrize(("instruction", "bits"), LAYOUTS)
def test_bits_are_where_the_manual_says(instruction: Instruction, bits: int) -> None:
    assert encode_one(instruction) == bits


def test_a_wait_without_bits_is_no_wait() -> None:
    none, some = Wait(Counter(0, Engine.ctl)), Wait(Counter(0, Engine.vpu), 1)
    assert encode_one(Nop(waits=(none, some))) == encode_one(Nop(waits=(some,)))
    assert decode_one(encode_one(Nop(waits=(none,)))) == Nop()


OUT_OF_RANGE = [
    (Add(32), "add, rd", "0 to 31"),
    (Add(imm=1 << 63), "add, imm", f"{-(1 << 63)} to {(1 << 63) - 1}"),
    (Add(ra=-1), "add, ra", "0 to 31"),
    (Load(1 << 16), "ld, map", "0 to 65535"),
    (Load(queue=2), "ld, queue", "0 to 1"),
    (Nop(6), "nop, queue", "0 to 5"),
    (Mma(accumulate=2), "mma, accumulate", "0 to 1"),
    (Nop(increment=32), "nop, increment", "0 to 31"),
    (Nop(waits=(Wait(Counter(16, Engine.st)),)), "nop, counter core", "0 to 15"),
    (Nop(waits=(Wait(Counter(0, Engine.st, 32)),)), "nop, counter index", "0 to 31"),
    (Nop(waits=(Wait(Counter(0, Engine.st), 32),)), "nop, threshold register", "0 to 31"),
    (Nop(waits=(Wait(Counter(0, Engine.st), 0, 1 << 14),)), "nop, threshold", "-16384 to 16383"),
    (Nop(waits=(Wait(Counter(0, Engine.st), 1),) * 3), "Nop(", "at most 2"),
]


@pytest.mark.parametrize(("instruction", "where", "allowed"), OUT_OF_RANGE)
def test_what_does_not_fit_is_named(instruction: Instruction, where: str, allowed: str) -> None:
    with pytest.raises(EncodingError) as caught:
        encode([instruction])
    assert caught.value.where.startswith(where) and caught.value.allowed == allowed


BAD_CODES = [
    (encode_one(Nop()) & ~(7 << 80) | 6 << 80, "a field holds an unknown code"),
    (encode_one(Nop()) | 6 << 41, "a wait names no engine"),
    (encode_one(Nop()) | 1 << 48, "reserved bits are not zero"),  # a second wait, but no first
    (encode_one(Nop()) | 1 << 8, "reserved bits are not zero"),  # an index, but no increment
]


@pytest.mark.parametrize(("bits", "reason"), BAD_CODES)
def test_codes_without_meaning_are_refused(bits: int, reason: str) -> None:
    for check in (decode, check_rows):
        with pytest.raises(EncodingError, match=reason) as caught:
            check(np.concatenate([encode([Halt()]), row_of(bits)]))
        assert caught.value.where.startswith("instruction 1")


@CLASSES
def test_fields_are_taken_from_many_rows_at_once(cls: type[Instruction]) -> None:
    @given(st.lists(instructions_of(cls), min_size=1, max_size=5))
    def agree(instructions: list[Instruction]) -> None:
        rows = encode(instructions)
        for name, spec, start in cls.layout():
            values = decode_fields(rows, spec, start)
            assert values.tolist() == [getattr(i, name) for i in instructions]

    agree()


def test_opcodes_and_mnemonics_are_unique() -> None:
    assert len(BY_OPCODE) == len(BY_MNEMONIC) == len(INSTRUCTIONS)
    for cls in INSTRUCTIONS:
        assert cls.__doc__ and cls.meaning, cls
        for name, spec, _ in cls.layout():
            low, high = spec.limits
            assert low <= cls.__dataclass_fields__[name].default <= high
            assert (spec.kind is Kind.choice) == bool(spec.choices)


I64 = st.integers(-(1 << 63), (1 << 63) - 1)
REFERENCE = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "min": np.minimum, "max": np.maximum, "and": lambda a, b: a & b, "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b, "shl": lambda a, b: a << (b & 63),
    "shr": lambda a, b: a >> (b & 63), "slt": lambda a, b: a < b, "seq": lambda a, b: a == b,
}  # fmt: skip


@given(a=I64, b=I64 | st.integers(-2, 65))
def test_scalars_compute_like_int64_of_numpy(a: int, b: int) -> None:
    scalars = [cls for cls in INSTRUCTIONS if issubclass(cls, Scalar)]
    assert {cls.mnemonic for cls in scalars} == set(REFERENCE)
    with np.errstate(over="ignore"):
        for cls in scalars:
            expected = REFERENCE[cls.mnemonic](np.array([a]), np.array([b]))  # type: ignore[no-untyped-call]
            assert cls.compute(a, b) == int(expected[0]), cls.mnemonic
