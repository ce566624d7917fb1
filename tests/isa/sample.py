"""One small program in which each table has a row: a load, a product, a vector kernel, a store."""

import numpy as np

from npuc.isa.descriptors import (
    Kernel,
    Op,
    Output,
    Params,
    Segment,
    Space,
    Stream,
    TensorMap,
    View,
    Window,
)  # fmt: skip
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.instructions import Counter, Engine, Instruction, Wait
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt, Loop
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.scalar import Add
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import (
    Argument,
    BufferRecord,
    Debug,
    Program,
    Quantisation,
    SourceRange,
)  # fmt: skip
from npuc.isa.target import parse_target, target_text

A = View(DType.i8, Space.spm, 0, (1, 1, 4, 1, 1, 8), (0, 0, 8, 0, 0, 1), base_reg=4,
         windows=(Window(-1, 4, (0, 0, 1, 0, 0, 0)),), fill=3)  # fmt: skip
W = View(DType.i8, Space.spm, 1024, (1, 1, 8, 8), (0, 0, 8, 1))
ACC = View(DType.i32, Space.acc, 0, (1, 1, 4, 8), (0, 0, 32, 4))
IN = View(DType.i32, Space.acc, 0, (1, 1, 4, 8, 1, 1, 1), (0, 0, 32, 4, 0, 0, 0),
          extent_regs=(0, 0, 5, 0, 0, 0, 0))  # fmt: skip
OUT = View(DType.i8, Space.spm, 2048, (1, 1, 4, 8, 1, 1, 1), (0, 0, 8, 1, 0, 0, 0))
X_MAP = TensorMap(Segment.input, DType.i8, 0, (4, 8), (8, 1), (4, 8), (8, 1), fill=255)
Y_MAP = TensorMap(Segment.output, DType.i8, 0, (4, 8), (8, 1), (4, 8), (8, 1))
SCALE = Kernel((Stream("i"),), (Op("i2f", (0,)), Op("mulf", (16, 8))), 2, (Output(17),))


def sample_code() -> list[Instruction]:
    """Eight instructions; five belong to the group ``conv1``, two to ``dense``."""
    loaded = Wait(Counter(0, Engine.ld0), reg=3, imm=-2)
    return [
        Add(3, 0, 0, 1),
        Loop(0, 8, 3),
        Load(0, spm=-16, rc0=4, i0=-1, increment=0),
        Mma(2, 0, 1, waits=(loaded,), increment=0),
        Add(3, 3, 0, 1),
        Vexec(0, 0, 3, out0=4, waits=(loaded, Wait(Counter(0, Engine.mxu), 3)), increment=1),
        Store(1, spm=2048, waits=(Wait(Counter(0, Engine.vpu, 1), imm=1),)),
        Halt(),
    ]


def sample_program() -> Program:
    """The program, for the target ``tiny``."""
    toml = target_text("tiny")
    return Program(
        target=parse_target(toml, "tiny"),
        target_toml=toml,
        code=(encode(sample_code()),),
        views=(A, W, ACC, IN, OUT),
        maps=(X_MAP, Y_MAP),
        kernels=(SCALE,),
        params=(Params((0x3F000000, 7), (0, 6)),),
        constants=np.arange(100, dtype=np.uint8),
        inputs=(Argument("x", DType.i8, (4, 8), Segment.input, 0, Quantisation(0.5, -3)),),
        outputs=(Argument("y", DType.i8, (4, 8), Segment.output, 0),),
        states=(Argument("h", DType.f32, (2,), Segment.state, 64),),
        scratch_bytes=4096,
        extensions=("F",),
        debug=Debug(
            (
                SourceRange(0, 0, 5, "conv1", ("/conv1/Conv", "/relu/Relu"), "tile.mma"),
                SourceRange(0, 5, 7, "dense", ("/fc/Gemm",)),
            ),
            (BufferRecord("x", 0, "spm", 0, 32, "x"), BufferRecord("acc", 0, "acc", 0, 128)),
            '{"version": 1}',
            "sample",
        ),
    )
