"""The control pass: both interpreters against a direct account, and against each other."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from npuc.emulator.control import control
from npuc.emulator.decode import DecodedProgram
from npuc.emulator.limits import Limits
from npuc.emulator.stream import CommandStream
from npuc.emulator.validate import decode
from npuc.isa.errors import BinaryError, CapacityError, ExecutionError
from npuc.isa.instructions import Engine, Instruction
from npuc.isa.instructions.flow import Branch, Break, Halt, Jump, Loop, Trap
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.instructions.scalar import INSTRUCTIONS as SCALARS
from npuc.isa.instructions.scalar import Add, Mul, Shl, Slt
from tests.emulator.programs import build, wait

BOTH = pytest.mark.parametrize("path", ["plain", "fast"])
MARK = Nop(queue=1)


def walk(code: list[Instruction], path: str, budget: int = 100_000) -> CommandStream:
    (stream,) = control(decode(build(code)), Limits(instructions=budget), path)
    return stream


def equal(a: CommandStream, b: CommandStream) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in CommandStream.__dataclass_fields__
    )


@BOTH
def test_nested_loops_count_and_zero_trips_skip(path: str) -> None:
    stream = walk(
        [
            Add(rd=2, imm=2),
            Loop(rc=2, count=1, body=4),  # three times
            Add(rd=1, ra=1, imm=1),
            Loop(rc=1, count=-1, body=2),  # 0, 1, 2 times
            Add(rd=3, ra=3, imm=10),
            MARK,
            Halt(),
        ],
        path,
    )
    assert stream.instruction.tolist() == [5, 5, 5]
    assert stream.registers[:, 1].tolist() == [2, 3, 3]
    assert stream.registers[:, 3].tolist() == [10, 20, 30]
    assert stream.ctl_cycles.tolist() == [8, 4, 2]


@BOTH
def test_break_leaves_the_innermost_loop_only(path: str) -> None:
    stream = walk(
        [
            Loop(count=2, body=6),
            Add(rd=1),
            Loop(count=10, body=4),
            Add(rd=1, ra=1, imm=1),
            Slt(rd=2, ra=1, imm=3),  # r1 < 3
            Add(rd=2, ra=2, imm=-1),
            Break(ra=2),
            MARK,
            Halt(),
        ],
        path,
    )
    assert stream.registers[:, 1].tolist() == [3]


@BOTH
def test_branches_inside_a_body(path: str) -> None:
    stream = walk(
        [
            Loop(count=3, body=4),
            Branch(ra=1, offset=2),
            MARK,
            Add(rd=1, ra=1, imm=1),
            MARK,
            Jump(offset=2),
            Trap(code=1),
            Halt(),
        ],
        path,
    )
    assert stream.instruction.tolist() == [2, 4, 4, 4]


@BOTH
def test_arithmetic_wraps_at_64_bits_and_register_0_stays_0(path: str) -> None:
    stream = walk(
        [
            Add(rd=1, imm=2**63 - 1),
            Add(rd=2, ra=1, imm=1),
            Mul(rd=3, ra=1, rb=1),
            Shl(rd=4, ra=1, imm=65),
            Add(rd=0, imm=7),
            MARK,
            Halt(),
        ],
        path,
    )
    assert stream.registers[0, :5].tolist() == [0, 2**63 - 1, -(2**63), 1, -2]


@BOTH
def test_waits_are_resolved_at_dispatch(path: str) -> None:
    held = Nop(queue=5, waits=(wait(Engine.mxu, -2, 1, index=4), wait(Engine.ld0, 3)), increment=7)
    stream = walk([Add(rd=1, imm=9), held, Add(rd=1, imm=4), held, Fence(), Halt()], path)
    assert stream.wait_counter.tolist()[:2] == [[4 * 32 + 4, 32], [4 * 32 + 4, 32]]
    assert stream.wait_threshold.tolist()[:2] == [[7, 3], [2, 3]]
    assert stream.increment.tolist() == [7, 7, -1]
    assert stream.engine.tolist() == [5, 5, 0]
    assert stream.wait_counter.tolist()[2] == [-1, -1]


@BOTH
def test_a_trap_stops_with_its_code(path: str) -> None:
    with pytest.raises(ExecutionError, match="trapped") as caught:
        walk([MARK, Trap(code=42), Halt()], path)
    assert "instruction 1: trap 42" in caught.value.where and "42" in caught.value.given


@BOTH
def test_the_budget_names_the_loop(path: str) -> None:
    endless = [Loop(count=2**31 - 1, body=2), Add(rd=1, ra=1, imm=1), MARK, Halt()]
    with pytest.raises(ExecutionError, match="too many instructions") as caught:
        walk(endless, path, 1000)
    assert (
        "in the loop of instructions 0 to 2 by core 0, instruction 0: loop 2147483647"
        in caught.value.given
    )
    with pytest.raises(ExecutionError, match="too many") as caught:
        walk([Loop(count=3, body=2), MARK, Jump(offset=-1), Halt()], path, 10)
    assert caught.value.given == (
        "more than 10, in the loop of instructions 1 to 2 by core 0, instruction 2: jump -1, "
        "in the loop of instructions 0 to 2 by core 0, instruction 0: loop 3"
    )
    with pytest.raises(CapacityError, match="too many instructions") as caught:
        walk([MARK, Halt()], path, 1)
    assert "outside any loop" in caught.value.given


@BOTH
def test_the_budget_of_commands_names_the_loop(path: str) -> None:
    endless = [Loop(count=2**31 - 1, body=1), MARK, Halt()]
    limits = Limits(commands=3000)
    with pytest.raises(CapacityError, match="dispatches too many commands") as caught:
        control(decode(build(endless)), limits, path)
    assert "in the loop of instructions 0 to 1 by core 0" in caught.value.given
    two = decode(build([Loop(count=1500, body=1), MARK, Halt()], endless))
    with pytest.raises(CapacityError, match="of all cores") as caught:
        control(two, limits, path)
    assert caught.value.where.startswith("core 1, instruction 1")
    exactly = decode(
        build([Loop(count=1500, body=1), MARK, Halt()]),
    )
    assert len(control(exactly, Limits(commands=1500), path)[0]) == 1500


@BOTH
def test_the_budget_itself_is_allowed(path: str) -> None:
    assert len(walk([MARK, MARK, Halt()], path, 3)) == 2


@BOTH
def test_the_stream_grows_beyond_its_first_buffer(path: str) -> None:
    stream = walk([Loop(count=5000, body=2), Add(rd=1, ra=1, imm=1), MARK, Halt()], path)
    assert stream.registers[:, 1].tolist() == list(range(1, 5001))


def test_an_empty_stream_dispatches_nothing() -> None:
    assert len(walk([], "plain")) == 0


# -- random programs -----------------------------------------------------------------------------

REGISTERS = st.integers(0, 7)
LARGE = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
scalars = st.builds(
    lambda cls, rd, ra, rb, imm: [cls(rd=rd, ra=ra, rb=rb, imm=imm)],
    st.sampled_from(SCALARS),
    REGISTERS,
    REGISTERS,
    REGISTERS,
    LARGE,
)
commands = st.builds(
    lambda queue, reg, imm: [Nop(queue=queue, waits=(wait(Engine.mxu, imm, reg),), increment=1)],
    st.integers(0, 5),
    REGISTERS,
    st.integers(-5, 5),
)


def _looped(body: list[Instruction], reg: int, count: int, with_break: bool) -> list[Instruction]:
    inside = [Break(ra=reg), *body] if with_break else body
    return [Loop(rc=0 if count else reg, count=count, body=len(inside)), *inside]


def _skipped(body: list[Instruction], reg: int, always: bool) -> list[Instruction]:
    offset = len(body) + 1
    jump = Jump(offset=offset) if always else Branch(ra=reg, offset=offset)
    return [jump, *body, Add(rd=7, ra=7, imm=1)]


def _nested(children: st.SearchStrategy) -> st.SearchStrategy:
    block = st.lists(children, min_size=1, max_size=3).map(
        lambda parts: list(itertools.chain.from_iterable(parts))
    )
    return st.one_of(
        block,
        st.builds(_looped, block, REGISTERS, st.integers(0, 3), st.booleans()),
        st.builds(_skipped, block, REGISTERS, st.booleans()),
    )


programs = st.recursive(st.one_of(scalars, commands), _nested, max_leaves=12)


@given(programs)
@settings(max_examples=150)
def test_both_interpreters_agree(code: list[Instruction]) -> None:
    try:
        decoded = decode(build([*code, Halt()]))
    except BinaryError:  # deeper than eight loops
        assume(False)
    outcomes = [_outcome(decoded, path) for path in ("plain", "fast")]
    if isinstance(outcomes[0], CommandStream) and isinstance(outcomes[1], CommandStream):
        assert equal(outcomes[0], outcomes[1])
    else:
        assert outcomes[0] == outcomes[1]


def _outcome(decoded: DecodedProgram, path: str) -> CommandStream | str:
    try:
        return control(decoded, Limits(instructions=2000), path)[0]
    except ExecutionError as error:
        return str(error)
