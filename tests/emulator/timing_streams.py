"""Programs and streams for the tests of time: built from instruction objects, no control pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from npuc.emulator.stream import CommandStream
from npuc.isa.descriptors import Kernel, Op, Output, Segment, Space, Stream, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.instructions import Command, Counter, Engine, Instruction, Wait
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Debug, Program, SourceRange
from npuc.isa.target import Target, load_target

TINY = load_target("tiny")
EDGE = load_target("edge")
QUEUES = (Engine.ld0, Engine.ld1, Engine.st, Engine.mxu, Engine.vpu)


def matmul_views(m: int, k: int, n: int) -> tuple[View, View, View]:
    return (
        View(DType.i32, Space.acc, 0, (1, 1, m, n), (0, 0, 4 * n, 4)),
        View(DType.i8, Space.spm, 0, (1, 1, m, 1, 1, k), (0, 0, k, 0, 0, 1)),
        View(DType.i8, Space.spm, 0, (1, 1, k, n), (0, 0, n, 1)),
    )


def row_view(points: int, dtype: DType = DType.i32, space: Space = Space.acc) -> View:
    shape = (1, 1, 1, points, 1, 1, 1)
    return View(dtype, space, 0, shape, (0, 0, 0, dtype.bytes, 0, 0, 0))


def row_map(rows: int, row_bytes: int, pitch: int) -> TensorMap:
    """A box of ``rows`` runs out of a matrix with ``pitch`` bytes per row."""
    return TensorMap(
        Segment.scratch,
        DType.i8,
        0,
        (1 << 20, pitch),
        (pitch, 1),
        (rows, row_bytes),
        (row_bytes, 1),
    )


SIZES = ((4, 8, 8), (16, 8, 8), (40, 24, 16), (64, 32, 8))
POINTS = (8, 100, 400, 1000)
BOXES = ((1, 64, 64), (4, 64, 256), (16, 20, 300), (32, 128, 128))
VIEWS = tuple(v for size in SIZES for v in matmul_views(*size)) + tuple(
    row_view(points, *kind)
    for points in POINTS
    for kind in ((DType.i32, Space.acc), (DType.i8, Space.spm), (DType.f32, Space.spm))
)
MAPS = tuple(row_map(*box) for box in BOXES)
KERNELS = (
    Kernel((Stream("i"),), (), 0, (Output(0),)),
    Kernel((Stream("f"),), (Op("addf", (0, 8)), Op("exp2", (16,))), 2, (Output(17),)),
)


def work_of(engine: Engine, choice: int) -> Command:
    """One of 4 commands per engine, by size."""
    if engine is Engine.mxu:
        return Mma(acc=3 * choice, a=3 * choice + 1, w=3 * choice + 2)
    if engine is Engine.vpu:
        first = 3 * len(SIZES) + 3 * choice
        spm_only = choice % 2
        return Vexec(kernel=spm_only, in0=first + 2 * spm_only, out0=first + 1)
    if engine is Engine.st:
        return Store(map=choice)
    return Load(map=choice, queue=int(engine is Engine.ld1))


def stream_of(instructions: Sequence[Instruction], core: int = 0) -> CommandStream:
    """The stream of straight-line code in which every instruction is a command."""
    n = len(instructions)
    waits = np.full((n, 2), -1, np.int64)
    needs = np.zeros((n, 2), np.int64)
    increment = np.full(n, -1, np.int64)
    for i, instruction in enumerate(instructions):
        if not isinstance(instruction, Command):
            continue
        increment[i] = -1 if instruction.increment is None else instruction.increment
        for j, wait in enumerate(instruction.waits):
            counter = wait.counter
            waits[i, j] = counter.core << 8 | counter.engine.value << 5 | counter.index
            needs[i, j] = wait.imm
    return CommandStream(
        np.arange(n),
        np.array([i.engine.value for i in instructions], np.int64),
        np.ones(n, np.int64),
        np.zeros((n, 32), np.int64),
        waits,
        needs,
        increment,
    )


def program_of(target: Target, *cores: Sequence[Instruction]) -> Program:
    return Program(target, "", tuple(encode(core) for core in cores), VIEWS, MAPS, KERNELS)


def with_groups(program: Program, bounds: Sequence[int]) -> Program:
    """Core 0's instructions cut at ``bounds`` into groups g0, g1, …"""
    sources = tuple(
        SourceRange(0, low, high, f"g{i}", (f"node{i}",))
        for i, (low, high) in enumerate(pairwise(bounds))
    )
    return replace(program, debug=Debug(sources))


def after(engine: Engine, count: int, core: int = 0) -> Wait:
    return Wait(Counter(core, engine), 0, count)


@st.composite
def random_code(draw: st.DrawFn, length: int = 40) -> list[Instruction]:
    """Commands on all engines; waits name values that earlier commands produce."""
    issued = dict.fromkeys(QUEUES, 0)
    code: list[Instruction] = []
    for _ in range(draw(st.integers(1, length))):
        engine = draw(st.sampled_from(QUEUES))
        others = [e for e in QUEUES if issued[e] and e is not engine]
        waited = draw(st.lists(st.sampled_from(others), max_size=2, unique=True)) if others else []
        waits = tuple(after(e, issued[e] - draw(st.integers(0, min(2, issued[e])))) for e in waited)
        kind = draw(st.integers(0, 19))
        if kind == 0:
            code.append(Fence())
        elif kind == 1:
            code.append(Nop(queue=0, waits=waits, increment=0))
        else:
            code.append(replace(work_of(engine, kind % 4), waits=waits, increment=0))
            issued[engine] += 1
    return code


def pipelined_code(rounds: int, sizes: Sequence[int]) -> list[Instruction]:
    """A double-buffered tile pipeline: load two operands, mma, vexec, store."""
    code: list[Instruction] = []
    for i in range(rounds):
        choice = sizes[i % len(sizes)]
        free = (after(Engine.mxu, i - 1),)
        steps = (
            (Engine.ld0, free),
            (Engine.ld1, free),
            (Engine.mxu, (after(Engine.ld0, i + 1), after(Engine.ld1, i + 1))),
            (Engine.vpu, (after(Engine.mxu, i + 1),)),
            (Engine.st, (after(Engine.vpu, i + 1),)),
        )
        code += [replace(work_of(e, choice), waits=w, increment=0) for e, w in steps]
    return code
