"""Decoding and its static checks: what the bits alone prove wrong is refused with its site."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.emulator.decode import decode_columns
from npuc.emulator.validate import decode
from npuc.isa.descriptors import Kernel, Op, Output, Params, Segment, Space, Stream, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.encoding import decode as decode_instructions
from npuc.isa.errors import BinaryError
from npuc.isa.instructions import BY_OPCODE, Engine, Instruction
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Branch, Break, Halt, Jump, Loop
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Nop
from npuc.isa.instructions.scalar import Add
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Program
from tests.emulator.programs import TINY, build, tiled_product, wait

SPACE = (1, 1, 1, 4, 1, 1, 1)


def view(dtype: DType, rank: int, space: Space = Space.spm, base: int = 0, **more) -> View:
    extents = (1,) * (rank - 1) + (4,)
    strides = (0,) * (rank - 1) + (dtype.bytes,)
    return replace(View(dtype, space, base, extents, strides), **more)


GOOD = {
    "views": (
        view(DType.i32, 4, Space.acc),
        view(DType.i8, 6),
        replace(view(DType.i8, 4), extents=(1, 1, 4, 4)),
        view(DType.i8, 7),
        view(DType.f32, 6),
        view(DType.f32, 7),
        view(DType.f32, 4),
    ),
    "maps": (TensorMap(Segment.input, DType.i8, 0, (4,), (1,), (4,), (1,)),),
    "kernels": (Kernel((Stream("f"),), (Op("addf", (0, 8)),), 1, (Output(16),)),),
    "params": (Params((0,)),),
    "inputs": (),
}
MATRIX = Mma(acc=0, a=1, w=2)
VECTOR = Vexec(kernel=0, params=0, in0=3, out0=3)


def refused(code: list[Instruction], **parts) -> BinaryError:
    made = build([*code, Halt()], **(GOOD | {"maps": ()} | parts))
    with pytest.raises(BinaryError) as caught:
        decode(made)
    return caught.value


def with_view(index: int, made: View) -> dict:
    views = list(GOOD["views"])
    views[index] = made
    return {"views": tuple(views)}


def test_the_good_commands_pass() -> None:
    decode(build([MATRIX, VECTOR, Halt()], **(GOOD | {"maps": ()})))


@pytest.mark.parametrize(
    ("code", "parts", "words"),
    [
        ([replace(MATRIX, a=99)], {}, "names no view"),
        ([replace(MATRIX, a=3)], {}, "operand a is of the wrong rank"),
        ([replace(MATRIX, acc=2)], {}, "operand acc is of the wrong rank or space"),
        ([MATRIX], with_view(1, view(DType.u8, 6)), "element types"),
        ([MATRIX], with_view(0, view(DType.f32, 4, Space.acc)), "element types"),
        ([MATRIX], with_view(1, view(DType.f32, 6)), "element types"),
        ([MATRIX], with_view(0, view(DType.i32, 4, Space.acc, 8190)), "not aligned"),
        ([MATRIX], with_view(0, view(DType.i32, 4, Space.acc, 8188)), "leaves acc"),
        ([MATRIX], with_view(1, view(DType.i8, 6, base=65533)), "leaves spm"),
        ([VECTOR], with_view(3, view(DType.i8, 7, Space.acc)), "32-bit words"),
        ([VECTOR], with_view(3, view(DType.i8, 6)), "wrong rank"),
        ([replace(VECTOR, kernel=4)], {}, "names no kernel"),
        ([replace(VECTOR, params=4)], {}, "no parameter record"),
        ([replace(VECTOR, params=0xFFFF)], {}, "reads parameters"),
        ([replace(VECTOR, in1=3)], {}, "differ in number"),
        ([replace(VECTOR, in0=0xFFFF)], {}, "differ in number"),
        ([Load(map=3)], {}, "names no map"),
        ([Nop(queue=1, waits=(wait(Engine.st, 1, core=1),))], {}, "core or engine"),
    ],
)
def test_a_bad_command_is_refused_with_its_instruction(
    code: list[Instruction], parts: dict, words: str
) -> None:
    error = refused([Add(), *code], **parts)
    assert words in error.what
    assert error.where.startswith("core 0, instruction 1: ")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ([Loop(count=1, body=9), Add()], "reaches beyond"),
        ([Loop(count=1, body=3), Loop(count=1, body=3), Add(), Add(), Add()], "reaches beyond"),
        ([Loop(count=1, body=1), Jump(offset=1)], "leaves a loop"),
        ([Jump(offset=2), Loop(count=1, body=1), Add()], "enters or leaves"),
        ([Branch(ra=1, offset=-1)], "enters or leaves"),
        ([Break(ra=1)], "break stands outside any loop"),
        ([Loop(count=2, body=1), Break(ra=1), Break(ra=1)], "break stands outside any loop"),
        ([Loop(count=1, body=9 - d) for d in range(9)] + [Add()], "too deep"),
    ],
)
def test_bad_flow_is_refused(code: list[Instruction], words: str) -> None:
    assert words in refused(code).what


def test_code_that_runs_off_its_end_is_refused() -> None:
    with pytest.raises(BinaryError, match="runs off its end"):
        decode(build([Add()]))
    with pytest.raises(BinaryError, match="runs off its end"):
        decode(build([Loop(count=0, body=1), Halt()]))


@pytest.mark.parametrize(
    ("byte", "value", "words"),
    [
        (0, 0xEE, "unknown opcode"),
        (31, 1, "reserved bits"),
        (1, 0x40, "reserved bits"),
    ],
)
def test_damaged_bits_are_refused(byte: int, value: int, words: str) -> None:
    made = build([Add(), Nop(queue=1), Halt()])
    made.code[0][1, byte] = value
    with pytest.raises(BinaryError, match=words) as caught:
        decode(made)
    assert "instruction 1" in caught.value.where


def test_an_unknown_choice_is_refused() -> None:
    made = build([Nop(queue=5), Halt()])
    made.code[0][0, 10] = 7  # the queue
    with pytest.raises(BinaryError, match="unknown code"):
        decode(made)


def test_a_lacking_extension_names_the_letter_and_the_first_instruction() -> None:
    floats = Mma(acc=6, a=4, w=6)
    parts = with_view(6, view(DType.f32, 4, Space.acc))
    made = build([Add(), floats, floats, Halt()], **(GOOD | {"maps": ()} | parts))
    with pytest.raises(BinaryError, match="needs extension F") as caught:
        decode(made, replace(TINY, extensions=()))
    assert "core 0, instruction 1" in caught.value.where
    declared = build([Halt()], extensions=("L",))
    with pytest.raises(BinaryError, match="needs extension L"):
        decode(declared)


def test_too_many_cores_are_refused() -> None:
    with pytest.raises(BinaryError, match="more cores"):
        decode(build([Halt()], [Halt()]), TINY)


@pytest.mark.parametrize(
    "made",
    [
        TensorMap(Segment.input, DType.i8, 1, (4,), (1,), (4,), (1,)),
        TensorMap(Segment.input, DType.i8, 0, (4,), (2,), (4,), (1,)),
        TensorMap(Segment.input, DType.i8, 0, (2,), (-1,), (4,), (1,)),
        TensorMap(Segment.scratch, DType.i8, 0, (1,), (1,), (1,), (1,)),
    ],
)
def test_a_map_that_leaves_its_segment_is_refused(made: TensorMap) -> None:
    program, _, _ = tiled_product()
    small = replace(
        program,
        inputs=(replace(program.inputs[0], shape=(4,)),),
        maps=(made,),
        code=build([Halt()]).code,
    )
    with pytest.raises(BinaryError, match="leaves its segment"):
        decode(small)


def test_a_store_to_the_constants_is_refused() -> None:
    program, _, _ = tiled_product()
    with pytest.raises(BinaryError, match="writes to the constants"):
        decode(replace(program, code=build([Store(map=1), Halt()]).code))


def test_an_error_names_group_and_node() -> None:
    program, _, _ = tiled_product()
    with pytest.raises(BinaryError) as caught:
        decode(replace(program, kernels=()))
    assert "group dense; node Gemm_0" in caught.value.where


# -- columns --------------------------------------------------------------------------------------


def any_instruction() -> st.SearchStrategy[Instruction]:
    commands = st.builds(
        lambda rc, i0, queue, reg, imm, index: Load(
            rc0=rc,
            i0=i0,
            queue=queue,
            increment=index,
            waits=(wait(Engine.vpu, imm, reg, index=index),) if index else (),
        ),
        st.integers(0, 31),
        st.integers(-(2**15), 2**15 - 1),
        st.integers(0, 1),
        st.integers(0, 31),
        st.integers(-(2**14), 2**14 - 1),
        st.integers(0, 31),
    )
    scalars = st.builds(
        Add,
        st.integers(0, 31),
        st.integers(0, 31),
        st.integers(0, 31),
        st.integers(-(2**63), 2**63 - 1),
    )
    return st.one_of(commands, scalars, st.builds(Nop, queue=st.integers(0, 5)))


@given(st.lists(any_instruction(), min_size=1, max_size=20))
def test_columns_hold_what_the_decoder_of_objects_gives(code: list[Instruction]) -> None:
    made: Program = build(code)
    columns = decode_columns(made, 0)
    assert decode_instructions(made.code[0]) == code
    for at, instruction in enumerate(code):
        assert BY_OPCODE[int(columns.opcode[at])] is type(instruction)
        assert columns.engine[at] == instruction.engine.value
        for name, _, _ in instruction.layout():
            assert columns.columns[name][at] == getattr(instruction, name)
        waits = getattr(instruction, "waits", ())
        increment = getattr(instruction, "increment", None)
        assert columns.increment[at] == (-1 if increment is None else increment)
        for slot, held in enumerate(waits):
            assert columns.wait_register[at, slot] == held.reg
            assert columns.wait_immediate[at, slot] == held.imm
            assert columns.wait_counter[at, slot] & 31 == held.counter.index
        assert (columns.wait_counter[at] >= 0).sum() == len(waits)


def test_loops_are_known_around_each_instruction() -> None:
    code = [Loop(count=1, body=3), Add(), Loop(count=1, body=1), Add(), Halt()]
    assert np.array_equal(decode_columns(build(code), 0).loop_of, [-1, 0, 0, 2, -1])
