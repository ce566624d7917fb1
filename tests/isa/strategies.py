"""Hypothesis strategies for everything that a program holds, and one small complete program."""

import numpy as np
from hypothesis import strategies as st

from npuc.isa.descriptors import (
    Kernel,
    Op,
    Output,
    Params,
    Segment,
    Space,
    Stream,
    Table,
    TensorMap,
    View,
    Window,
)  # fmt: skip
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.instructions import INSTRUCTIONS, Command, Counter, Engine, Instruction, Wait
from npuc.isa.microops import BY_NAME, MICRO_OPS
from npuc.isa.program import (
    Argument,
    BufferRecord,
    Debug,
    Program,
    Quantisation,
    SourceRange,
)  # fmt: skip
from npuc.isa.target import parse_target, target_text

REGISTER = st.integers(0, 31)
I16, I32 = st.integers(-(1 << 15), (1 << 15) - 1), st.integers(-(1 << 31), (1 << 31) - 1)
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
U32 = st.integers(0, (1 << 32) - 1)
NAMES = st.text(min_size=0, max_size=12)
WAITS = st.builds(
    Wait,
    st.builds(Counter, st.integers(0, 15), st.sampled_from(Engine), st.integers(0, 31)),
    REGISTER,
    st.integers(-(1 << 14), (1 << 14) - 1),
).filter(lambda wait: wait != Wait(Counter(0, Engine.ctl, 0), 0, 0))


def instructions_of(cls: type[Instruction]) -> st.SearchStrategy[Instruction]:
    """Any instruction of one class."""
    values = {name: st.integers(*spec.limits) for name, spec, _ in cls.layout()}
    if issubclass(cls, Command):
        values["waits"] = st.lists(WAITS, max_size=2).map(tuple)
        values["increment"] = st.none() | st.integers(0, 31)
    return st.builds(cls, **values)


INSTRUCTION = st.sampled_from(INSTRUCTIONS).flatmap(instructions_of)


@st.composite
def views(draw: st.DrawFn) -> View:
    rank = draw(st.integers(0, 7))

    def several(values: st.SearchStrategy[int]) -> tuple[int, ...]:
        return tuple(draw(st.lists(values, min_size=rank, max_size=rank)))

    registers = list(several(st.just(0)))
    for dim in draw(st.lists(st.integers(0, 6), max_size=4)):
        if dim < rank:
            registers[dim] = draw(REGISTER)
    windows = tuple(
        Window(draw(I32), draw(U32), several(I16), draw(REGISTER))
        for _ in range(draw(st.integers(0, 2)))
    )
    return View(
        draw(st.sampled_from(DType)), draw(st.sampled_from(Space)), draw(U32),
        several(U32), several(I32), draw(REGISTER), tuple(registers), windows, draw(U32),
    )  # fmt: skip


@st.composite
def tensor_maps(draw: st.DrawFn, highest_base: int = 0) -> TensorMap:
    rank = draw(st.integers(1, 5))

    def several(values: st.SearchStrategy[int]) -> tuple[int, ...]:
        return tuple(draw(st.lists(values, min_size=rank, max_size=rank)))

    return TensorMap(
        draw(st.sampled_from([s for s in Segment if s is not Segment.arguments])),
        draw(st.sampled_from(DType)), draw(st.integers(0, highest_base)), several(U32),
        several(I64), several(U32), several(I32), draw(U32),
    )  # fmt: skip


@st.composite
def kernels(draw: st.DrawFn) -> Kernel:
    """Kernels that are legal by construction: operands are drawn from the values in reach."""
    streams = tuple(Stream(d) for d in draw(st.text("fi", max_size=6)))
    body_count = draw(st.integers(0, 6))
    ops: list[Op] = []
    for position in range(body_count + draw(st.integers(0, 4))):
        in_epilogue = position >= body_count
        reach = [i for i, op in enumerate(ops) if _in_reach(op, i, body_count, in_epilogue)]
        spec = draw(st.sampled_from([m for m in MICRO_OPS if not (in_epilogue and m.is_reduction)]))
        operands = tuple(
            draw(st.sampled_from([
                *(i for i, s in enumerate(streams) if s.domain == domain),
                *range(FIRST_PARAM, FIRST_RESULT),
                *(FIRST_RESULT + i for i in reach if BY_NAME[ops[i].name].result == domain),
            ]))
            for domain in spec.operands
        )  # fmt: skip
        legal = st.sampled_from(spec.immediates[:200]) if spec.extra else st.just(0) | I32
        ops.append(Op(spec.name, operands, 0 if spec.extra == "table" else draw(legal)))
    outputs = st.sampled_from([_output(ops, i, body_count) for i in range(len(ops))] or [Output(8)])
    return Kernel(
        streams, tuple(ops), body_count, tuple(draw(st.lists(outputs, min_size=1, max_size=2)))
    )


def _in_reach(op: Op, position: int, body_count: int, in_epilogue: bool) -> bool:
    is_reduction = BY_NAME[op.name].is_reduction
    return (is_reduction or position >= body_count) if in_epilogue else not is_reduction


def _output(ops: list[Op], position: int, body_count: int) -> Output:
    late = BY_NAME[ops[position].name].is_reduction or position >= body_count
    return Output(FIRST_RESULT + position, late)


@st.composite
def params(draw: st.DrawFn, least: int = 0) -> Params:
    count = draw(st.integers(least, 8))
    words = draw(st.lists(U32, min_size=count, max_size=count))
    registers = draw(st.lists(REGISTER, min_size=count, max_size=count))
    return Params(tuple(words), tuple(registers))


def arguments(segment: Segment) -> st.SearchStrategy[tuple[Argument, ...]]:
    scale = st.floats(0, exclude_min=True, allow_infinity=False)
    one = st.builds(
        Argument, NAMES, st.sampled_from(DType), st.lists(st.integers(0, 9), max_size=4).map(tuple),
        st.just(segment), st.integers(0, 999), st.none() | st.builds(Quantisation, scale, I64),
    )  # fmt: skip
    return st.lists(one, max_size=2, unique_by=lambda a: a.name).map(tuple)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Any program that the container accepts; its code need not make sense to a machine."""
    code = draw(st.lists(st.lists(INSTRUCTION, max_size=8), min_size=1, max_size=3))
    toml = target_text(draw(st.sampled_from(["tiny", "edge"])))
    return Program(
        target=parse_target(toml, "test"),
        target_toml=toml,
        code=tuple(encode(instructions) for instructions in code),
        views=tuple(draw(st.lists(views(), max_size=3))),
        maps=tuple(draw(st.lists(tensor_maps(), max_size=3))),
        kernels=tuple(draw(st.lists(kernels(), max_size=2))),
        params=tuple(draw(st.lists(params(), max_size=2))),
        tables=(Table(tuple(range(7, 263))), *draw(st.lists(TABLES, max_size=1))),
        constants=np.frombuffer(draw(st.binary(max_size=150)), np.uint8),
        inputs=draw(arguments(Segment.input)),
        outputs=draw(arguments(Segment.output)),
        states=draw(arguments(Segment.state)),
        scratch_bytes=draw(st.integers(0, 1 << 40)),
        extensions=tuple(sorted(draw(st.sets(st.sampled_from("FEQSZL"))))),
        debug=Debug(
            tuple(_source(draw, core, len(c)) for core, c in enumerate(code)),
            tuple(draw(st.lists(BUFFERS, max_size=2))),
            draw(NAMES),
            draw(NAMES),
        ),
    )


TABLES = st.builds(Table, st.lists(U32, min_size=256, max_size=256).map(tuple))
BUFFERS = st.builds(
    BufferRecord, NAMES, st.integers(0, 15), st.sampled_from(["spm", "acc", "dram"]),
    st.integers(0, 1 << 40), st.integers(0, 1 << 40), NAMES,
)  # fmt: skip


def _source(draw: st.DrawFn, core: int, n_rows: int) -> SourceRange:
    start = draw(st.integers(0, n_rows))
    nodes = tuple(draw(st.lists(NAMES, max_size=3)))
    return SourceRange(
        core, start, draw(st.integers(start, n_rows)), draw(NAMES), nodes, draw(NAMES)
    )
