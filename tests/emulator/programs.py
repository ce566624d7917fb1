"""Small hand-made programs for the emulator's tests."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from npuc.isa.descriptors import Kernel, Op, Output, Params, Segment, Space, Stream, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.instructions import Counter, Engine, Instruction, Wait
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt, Loop
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Nop
from npuc.isa.instructions.scalar import Add
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Argument, Debug, Program, SourceRange
from npuc.isa.target import Target, load_target, target_text

TINY = load_target("tiny")


def cores_of(target: Target, cores: int) -> Target:
    """The same machine with more cores."""
    return replace(target, cores=cores)


def build(*streams: Sequence[Instruction], **parts: object) -> Program:
    """A program for ``tiny`` with one instruction stream per core."""
    target = cores_of(TINY, len(streams))
    return Program(target, target_text("tiny"), tuple(encode(s) for s in streams), **parts)


def wait(engine: Engine, imm: int, reg: int = 0, core: int = 0, index: int = 0) -> Wait:
    """Hold back until the engine's counter is at least register + imm."""
    return Wait(Counter(core, engine, index), reg, imm)


def bits(value: float) -> int:
    """The raw word of a float32 parameter."""
    return int(np.float32(value).view(np.uint32))


# Layout of the tiled product: M rows in tiles of ROWS, all of K and N at once.
M, K, N, ROWS = 12, 20, 16, 4
SCALE = 0.01
REQUANTIZE = Kernel(
    (Stream("i"),),
    (
        Op("i2f", (0,)),
        Op("mulf", (16, 8)),
        Op("roundf", (17,)),
        Op("maxf", (18, 9)),
        Op("minf", (19, 10)),
    ),
    5,
    (Output(20),),
)


def tiled_product(seed: int = 0, *, synchronised: bool = True) -> tuple[Program, dict, np.ndarray]:
    """requantize(x @ w) by row tiles with one buffer each; its input and the expected output.

    ``synchronised`` false leaves out the waits that protect buffers from being refilled early.
    """
    rng = np.random.default_rng(seed)
    x_MK = rng.integers(-128, 128, (M, K)).astype(np.int8)
    w_KN = rng.integers(-128, 128, (K, N)).astype(np.int8)
    wide = (x_MK.astype(np.int64) @ w_KN.astype(np.int64)).astype(np.float32)
    expected = np.clip(np.rint(wide * np.float32(SCALE)), -128, 127).astype(np.int8)
    program = build(
        _product_code(synchronised),
        views=_product_views(),
        maps=_product_maps(),
        kernels=(REQUANTIZE,),
        params=(Params((bits(SCALE), bits(-128), bits(127))),),
        constants=w_KN.reshape(-1).view(np.uint8),
        inputs=(Argument("x", DType.i8, (M, K), Segment.input, 0),),
        outputs=(Argument("y", DType.i8, (M, N), Segment.output, 0),),
        debug=Debug(sources=(SourceRange(0, 0, 11, "dense", ("Gemm_0",)),)),
    )
    return program, {"x": x_MK}, expected


def _product_code(synchronised: bool) -> list[Instruction]:
    """Each buffer is refilled once its reader of the trip before is done (``back``)."""
    back = {
        e: ((wait(e, 0, 1),) if synchronised else ()) for e in (Engine.mxu, Engine.vpu, Engine.st)
    }
    return [
        Load(map=1, spm=1024, queue=1, increment=0),
        Nop(queue=Engine.mxu.value, waits=(wait(Engine.ld1, 1),)),
        Add(rd=6),
        Loop(count=M // ROWS, body=6),
        Load(map=0, rc0=6, waits=back[Engine.mxu], increment=0),
        Mma(acc=0, a=1, w=2, waits=(wait(Engine.ld0, 1, 1), *back[Engine.vpu]), increment=0),
        Vexec(
            kernel=0,
            params=0,
            in0=3,
            out0=4,
            waits=(wait(Engine.mxu, 1, 1), *back[Engine.st]),
            increment=0,
        ),
        Store(map=2, spm=4096, rc0=6, waits=(wait(Engine.vpu, 1, 1),), increment=0),
        Add(rd=1, ra=1, imm=1),
        Add(rd=6, ra=6, imm=ROWS),
        Halt(),
    ]


def _product_views() -> tuple[View, ...]:
    return (
        View(DType.i32, Space.acc, 0, (1, 1, ROWS, N), (0, 0, 4 * N, 4)),
        View(DType.i8, Space.spm, 0, (1, 1, ROWS, 1, 1, K), (0, 0, K, 0, 0, 1)),
        View(DType.i8, Space.spm, 1024, (1, 1, K, N), (0, 0, N, 1)),
        View(DType.i32, Space.acc, 0, (1, 1, ROWS, N, 1, 1, 1), (0, 0, 4 * N, 4, 0, 0, 0)),
        View(DType.i8, Space.spm, 4096, (1, 1, ROWS, N, 1, 1, 1), (0, 0, N, 1, 0, 0, 0)),
    )


def _product_maps() -> tuple[TensorMap, ...]:
    return (
        TensorMap(Segment.input, DType.i8, 0, (M, K), (K, 1), (ROWS, K), (K, 1)),
        TensorMap(Segment.constant, DType.i8, 0, (K, N), (N, 1), (K, N), (N, 1)),
        TensorMap(Segment.output, DType.i8, 0, (M, N), (N, 1), (ROWS, N), (N, 1)),
    )
