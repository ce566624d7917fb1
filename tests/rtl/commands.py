"""Random command streams: each command as the bench reads it and as the instruction it is.

A stream alternates matrix commands and drains of what they left; every one waits for the one
before, so that each is timed alone. Shapes are ragged, and extents around whole folds are frequent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npuc.isa.descriptors import Kernel, Op, Output, Params, Space, Stream, View
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.instructions import Counter, Engine, Instruction, Wait
from npuc.isa.instructions.flow import Halt
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Program
from npuc.isa.target import Target
from tests.rtl.machines import ACC_BYTES, SPM_BYTES, Build

Rng = np.random.Generator
WORDS_PER_COMMAND = 16
OUTPUT_AT = SPM_BYTES // 2  # A and W lie below, what drains write above
# Micro-ops by the numbers that the drain knows them by, and how many parameters each takes.
OP_NUMBERS = {"i2f": 1, "mulf": 2, "roundf": 3, "maxf": 4, "minf": 5}
PARAMETERS = {"mulf": 1, "maxf": 1, "minf": 1}
REQUANTIZE = ("i2f", "mulf", "roundf", "maxf", "minf")
RELU = ("i2f", "maxf", "mulf", "roundf", "minf")
CLIPPED = ("i2f", "maxf", "mulf", "roundf", "maxf", "minf")
BARE = ("i2f", "mulf")


@dataclass(frozen=True)
class Product:
    """``mma`` of m x k x n; SPM bases and strides in bytes, ACC's in 32-bit words."""

    m: int
    k: int
    n: int
    a: tuple[int, int, int]  # base, stride of m, stride of k
    w: tuple[int, int, int]  # base, stride of k, stride of n
    acc: tuple[int, int]  # base, stride of m
    accumulate: bool

    @property
    def is_transposed(self) -> bool:
        return self.w[2] != 1 and self.n > 1

    @property
    def words(self) -> tuple[int, ...]:
        flags = int(self.accumulate) | int(self.is_transposed) << 1
        return (0, self.m, self.k, self.n, *self.a, *self.w, *self.acc, flags)


@dataclass(frozen=True)
class Drain:
    """``vexec`` that requantises m x n sums in ACC (words) to bytes in SPM."""

    m: int
    n: int
    acc: tuple[int, int]  # base, stride of m; n is dense
    spm: tuple[int, int, int]  # base, stride of m, stride of n
    ops: tuple[str, ...]
    params: tuple[float, ...]

    @property
    def words(self) -> tuple[int, ...]:
        program = sum(OP_NUMBERS[op] << 4 * i for i, op in enumerate(self.ops))
        bits = np.array(self.params, np.float32).view(np.uint32).tolist()
        return (1, self.m, self.n, *self.acc, 1, *self.spm, len(self.ops), program, *bits)


Command = Product | Drain


@dataclass(frozen=True)
class CommandStream:
    """What the memories hold at first, and the commands."""

    spm: np.ndarray
    acc: np.ndarray
    commands: tuple[Command, ...]

    @property
    def image(self) -> bytes:
        """As the bench reads it."""
        table = np.zeros((len(self.commands), WORDS_PER_COMMAND), np.uint32)
        for row, command in zip(table, self.commands, strict=True):
            row[: len(command.words)] = command.words
        count = np.array([len(self.commands)], np.uint32)
        return b"".join(part.tobytes() for part in (count, self.spm, self.acc, table))


def random_stream(rng: Rng, build: Build, products: int) -> CommandStream:
    """``products`` matrix commands, each followed by 0, 1 or 2 drains of its sums."""
    commands: list[Command] = []
    for _ in range(products):
        product = random_product(rng, build)
        commands.append(product)
        commands += [random_drain(rng, product) for _ in range(rng.integers(3))]
    limit = int(rng.choice([3, 128]))  # small sums tell how ties are rounded
    spm = rng.integers(-limit, limit, SPM_BYTES).astype(np.int8).view(np.uint8)
    acc = rng.integers(0, 1 << 32, ACC_BYTES // 4).astype(np.uint32)
    return CommandStream(spm, acc, tuple(commands))


def random_product(rng: Rng, build: Build) -> Product:
    """Any shape that fits the memories, any layout that the cost formula claims to be exact for."""
    k, n = _extent(rng, build.rows, 4 * build.rows), _extent(rng, build.cols, 4 * build.cols)
    # Padded rows of ACC may be up to 2 folds apart: bounds m.
    whole = -n % build.cols
    stride = n + int(rng.choice([0, 0, 1, whole, whole + build.cols]))
    most = min(48, (ACC_BYTES // 4 - n) // stride)
    m = 1 if rng.random() < 0.2 else min(_extent(rng, build.rows, 3 * build.rows), most)
    room = ACC_BYTES // 4 - ((m - 1) * stride + n)
    w_at = SPM_BYTES // 4
    w_k, w_n = (
        (1, k + int(rng.integers(4))) if rng.random() < 0.25 else (n + int(rng.integers(4)), 1)
    )
    return Product(
        m,
        k,
        n,
        _activations(rng, k),
        (w_at + int(rng.integers(64)), w_k, w_n),
        (int(rng.integers(min(room, 256) + 1)), stride),
        bool(rng.integers(2)),
    )


def _activations(rng: Rng, k: int) -> tuple[int, int, int]:
    """Dense rows anywhere; or elements apart, in rows that start word-aligned."""
    if rng.random() < 0.7:
        return int(rng.integers(64)), int(rng.choice([k, k, k + 3, 16 * (k // 16 + 1)])), 1
    return (
        16 * int(rng.integers(4)),
        16 * int(rng.integers(1, 5)),
        int(rng.choice([2, 3, 8, 16, 24, 32, 48, 64])),
    )


def _extent(rng: Rng, size: int, most: int) -> int:
    """1 .. most; every second time within one of a whole number of folds."""
    if rng.integers(2):
        return int(rng.integers(1, most + 1))
    near = size * rng.integers(1, most // size + 1) + rng.integers(-1, 2)
    return int(np.clip(near, 1, most))


def random_drain(rng: Rng, product: Product) -> Drain:
    """The sums of ``product`` as bytes: dense, in padded rows, transposed, or a word apart each."""
    m, n = product.m, product.n
    layouts = [(n, 1), (n, 1), (n + int(rng.integers(1, 9)), 1), (1, m)]
    apart = int(rng.choice([16, 32, 64]))
    if m * n * apart < OUTPUT_AT - 64:
        layouts += [(n * apart, apart)] * 2
    layout = layouts[rng.integers(len(layouts))]
    ops = (REQUANTIZE, RELU, CLIPPED, BARE, BARE)[rng.integers(5)]
    # Powers of two make ties.
    power = rng.uniform(-32, 2) if rng.random() < 0.6 else -rng.integers(1, 4)
    scale = float(np.float32(2.0**power))
    low, high = float(rng.integers(-128, 0)), float(rng.integers(1, 128))
    params = {REQUANTIZE: (scale, low, high), RELU: (0.0, scale, high), BARE: (scale,)}
    at = OUTPUT_AT + int(rng.integers(64))
    return Drain(m, n, product.acc, (at, *layout), ops, params.get(ops, (0.0, scale, low, high)))


# --- the same commands as a program ---


def program_of(commands: Sequence[Command], target: Target) -> Program:
    """A program of these commands; each waits for the one before."""
    code: list[Instruction] = []
    views: list[View] = []
    kernels: list[Kernel] = []
    params: list[Params] = []
    ended = {Engine.mxu: 0, Engine.vpu: 0}
    before: Engine | None = None
    for command in commands:
        waits = () if before is None else (Wait(Counter(0, before, 0), 0, ended[before]),)
        if isinstance(command, Product):
            first = len(views)
            views += _product_views(command)
            adds = int(command.accumulate)
            code.append(Mma(first, first + 1, first + 2, adds, waits=waits, increment=0))
            before = Engine.mxu
        else:
            kernels.append(_kernel(command))
            words = np.array(command.params, np.float32).view(np.uint32).tolist()
            params.append(Params(tuple(words)))
            views += _drain_views(command)
            code.append(
                Vexec(
                    kernel=len(kernels) - 1,
                    params=len(params) - 1,
                    in0=len(views) - 2,
                    out0=len(views) - 1,
                    waits=waits,
                    increment=0,
                )
            )
            before = Engine.vpu
        ended[before] += 1
    return Program(
        target, "", (encode([*code, Halt()]),), tuple(views), (), tuple(kernels), tuple(params)
    )


def _product_views(product: Product) -> tuple[View, View, View]:
    m, k, n = product.m, product.k, product.n
    a_base, a_m, a_k = product.a
    w_base, w_k, w_n = product.w
    acc_base, acc_m = product.acc
    return (
        View(DType.i32, Space.acc, 4 * acc_base, (1, 1, m, n), (0, 0, 4 * acc_m, 4)),
        View(DType.i8, Space.spm, a_base, (1, 1, m, 1, 1, k), (0, 0, a_m, 0, 0, a_k)),
        View(DType.i8, Space.spm, w_base, (1, 1, k, n), (0, 0, w_k, w_n)),
    )


def _drain_views(drain: Drain) -> tuple[View, View]:
    extents = (1, 1, drain.m, drain.n, 1, 1, 1)
    acc_base, acc_m = drain.acc
    spm_base, spm_m, spm_n = drain.spm
    return (
        View(DType.i32, Space.acc, 4 * acc_base, extents, (0, 0, 4 * acc_m, 4, 0, 0, 0)),
        View(DType.i8, Space.spm, spm_base, extents, (0, 0, spm_m, spm_n, 0, 0, 0)),
    )


def _kernel(drain: Drain) -> Kernel:
    """Each op takes the result of the one before, and its own parameter where it has one."""
    ops, value, param = [], 0, 8
    for i, name in enumerate(drain.ops):
        taken = PARAMETERS.get(name, 0)
        ops.append(Op(name, (value, *range(param, param + taken))))
        value, param = 16 + i, param + taken
    return Kernel((Stream("i"),), tuple(ops), len(ops), (Output(value),))
