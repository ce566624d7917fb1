"""Random legal commands for comparing the fast path with the twin, from a seeded generator."""

import numpy as np

from npuc.emulator.memory import Memory
from npuc.emulator.region import DmaWork, MmaWork, Region, VexecWork
from npuc.isa.descriptors import (
    Kernel,
    Op,
    Output,
    Segment,
    Space,
    Stream,
    Table,
    TensorMap,
    View,
    Window,
)
from npuc.isa.dtypes import DType
from npuc.isa.microops import MICRO_OPS

MOST_POINTS = 4000  # of eight bytes: they fit SPM
SPM_BYTES, ACC_BYTES, DRAM_BYTES = 1 << 15, 1 << 13, 1 << 14
Rng = np.random.Generator
SPECIAL = np.array(
    [
        0x00000000,
        0x80000000,
        0x7F800000,
        0xFF800000,
        0x7FC00000,
        0xFFC00001,
        0x7F812345,
        0x3F000000,
        0x3FC00000,
        0xC0200000,
        0x4F000000,
        0xCF000000,
        0x00000001,
        0x807FFFFF,
    ],
    np.uint32,
)

TABLES = tuple(
    Table(tuple(np.random.default_rng(i).integers(0, 1 << 32, 256).tolist())) for i in range(2)
)


def random_memory(rng: Rng) -> Memory:
    """Memories full of bytes that are often interesting as floats."""

    def some(size: int) -> np.ndarray:
        kind = rng.integers(3)
        if kind == 0:
            return rng.integers(0, 256, size, np.uint8)
        if kind == 1:
            return rng.standard_normal(size // 4).astype(np.float32).view(np.uint8)
        return rng.choice(SPECIAL, size // 4).view(np.uint8)

    return Memory(
        (some(SPM_BYTES),),
        (some(ACC_BYTES),),
        {s: rng.integers(0, 256, DRAM_BYTES, np.uint8) for s in Segment},
    )


def copied(memory: Memory) -> Memory:
    """The same bytes in arrays of their own."""
    return Memory(
        tuple(m.copy() for m in memory.spm),
        tuple(m.copy() for m in memory.acc),
        {s: m.copy() for s, m in memory.segments.items()},
    )


def same_bytes(a: Memory, b: Memory) -> bool:
    """Whether two memories hold the same bytes everywhere."""
    return (
        np.array_equal(a.spm[0], b.spm[0])
        and np.array_equal(a.acc[0], b.acc[0])
        and all(np.array_equal(a.segments[s], b.segments[s]) for s in Segment)
    )


def dense_strides(rng: Rng, extents: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Strides of a dense layout with the dimensions in random order."""
    strides, step = [0] * len(extents), size
    for axis in rng.permutation(len(extents)):
        strides[axis] = step
        step *= max(extents[axis], 1)
    return tuple(strides)


def place(
    rng: Rng, space: Space, dtype: DType, extents: tuple[int, ...], strides: tuple[int, ...]
) -> int:
    """An address at which the whole view lies inside its memory."""
    spans = [(max(e, 1) - 1) * s for e, s in zip(extents, strides, strict=True)]
    low = -sum(s for s in spans if s < 0)
    room = (ACC_BYTES if space is Space.acc else SPM_BYTES) - dtype.bytes
    high = room - sum(s for s in spans if s > 0)
    assert low <= high, "the extents are chosen small enough"
    unit = 4 if space is Space.acc else int(rng.choice([1, dtype.bytes, dtype.bytes]))
    return int(rng.integers(low // unit, high // unit + 1)) * unit if low == 0 else low


def random_region(
    rng: Rng,
    dtype: DType,
    extents: tuple[int, ...],
    *,
    space: Space = Space.spm,
    output: bool = False,
    windows: bool = True,
) -> Region:
    """A region: dense, sometimes broadcast (inputs), reversed, and with windows."""
    strides = list(dense_strides(rng, extents, dtype.bytes))
    for axis in range(len(strides)):
        kind = rng.integers(6)
        if kind == 0 and not output:
            strides[axis] = 0
        elif kind == 1:
            strides[axis] = -strides[axis]
    found = tuple(_window(rng, extents) for _ in range(rng.integers(3))) if windows else ()
    address = place(rng, space, dtype, extents, tuple(strides))
    bits = int(rng.integers(0, 1 << min(32, 8 * dtype.bytes)))
    view = View(dtype, space, 0, extents, tuple(strides), windows=found, fill=bits)
    return Region(view, address, extents, tuple(w.origin for w in found))


def _window(rng: Rng, extents: tuple[int, ...]) -> Window:
    coefficients = tuple(int(c) for c in rng.integers(-1, 3, len(extents)))
    return Window(int(rng.integers(-3, 4)), int(rng.integers(1, 8)), coefficients)


def extents_of(rng: Rng, count: int, largest: int) -> tuple[int, ...]:
    """Small extents, now and then 0 or 1."""
    return tuple(
        int(e)
        for e in rng.choice([0, 1, 1, 2, 3, largest], count, p=[0.02, 0.2, 0.2, 0.2, 0.2, 0.18])
    )


def random_mma(rng: Rng) -> MmaWork:
    """A matrix command of any element type, with windows on the activations."""
    dtype = DType[rng.choice(["i8", "i8", "f32", "bf16", "f16"])]
    m, k = extents_of(rng, 3, 5), extents_of(rng, 3, 7)
    while np.prod(m + k) > MOST_POINTS:
        k = extents_of(rng, 3, 3)
        m = extents_of(rng, 3, 3)
    n = int(rng.integers(1, 8))
    total = DType.f32 if dtype.is_float else DType.i32
    return MmaWork(
        random_region(
            rng, total, (*m, n), space=Space.acc, output=True, windows=bool(rng.integers(4) == 0)
        ),
        random_region(rng, dtype, m + k),
        random_region(rng, dtype, (*k, n), windows=False),
        bool(rng.integers(2)),
    )


def random_kernel(rng: Rng, reductions: bool, names: tuple[str, ...] = ()) -> Kernel:
    """A kernel of a few micro-ops over streams, parameters and earlier results."""
    inputs = tuple(Stream(str(rng.choice(["f", "i"]))) for _ in range(rng.integers(1, 4)))
    ops: list[Op] = []
    domains = {i: s.domain for i, s in enumerate(inputs)}
    body = [o for o in MICRO_OPS if not o.is_reduction and o.name != "divi"]
    reducers = [o for o in MICRO_OPS if o.is_reduction]
    pick = [o for o in body if o.name in names] or body
    for _ in range(int(rng.integers(1, 4))):
        _append(rng, ops, domains, pick)
    if not reductions:
        return Kernel(inputs, tuple(ops), len(ops), (Output(15 + len(ops)),))
    _append(rng, ops, domains, reducers)
    body_count = len(ops)
    reduced = 15 + body_count
    outside = {reduced: domains[reduced]} | {i: s.domain for i, s in enumerate(inputs)}
    for _ in range(int(rng.integers(0, 3))):
        _append(rng, ops, outside, pick)
    outputs = (Output(15 + len(ops), True),)
    if body_count >= 2 and rng.integers(2):
        outputs += (Output(16),)
    return Kernel(inputs, tuple(ops), body_count, outputs)


def _append(rng: Rng, ops: list[Op], domains: dict[int, str], choice: list) -> None:
    spec = choice[int(rng.integers(len(choice)))]
    operands = []
    for domain in spec.operands:
        able = [v for v, d in domains.items() if d == domain]
        param = int(rng.integers(8, 16))
        operands.append(int(rng.choice(able)) if able and rng.integers(4) else param)
    domains[16 + len(ops)] = spec.result
    legal = len(TABLES) if spec.extra == "table" else len(spec.immediates)
    immediate = spec.immediates[int(rng.integers(legal))] if spec.extra else 0
    ops.append(Op(spec.name, tuple(operands), immediate))


def random_vexec(rng: Rng, names: tuple[str, ...] = ()) -> VexecWork:
    """A vector command, elementwise or with a reduction."""
    reductions = bool(rng.integers(2))
    kernel = random_kernel(rng, reductions, names)
    parallel = extents_of(rng, 4, 4)
    reduction = extents_of(rng, 3, 4) if reductions else (1, 1, 1)
    while np.prod(parallel + reduction) > MOST_POINTS:
        parallel = extents_of(rng, 4, 3)
    if reductions and rng.integers(4) == 0:
        parallel, reduction = (*parallel[:2], 1, 1), (1, 1, int(rng.integers(1, 80)))
    space = parallel + reduction
    inputs = tuple(_stream(rng, space, output=False) for _ in kernel.inputs)
    outputs = tuple(
        _stream(rng, (*parallel, 1, 1, 1) if o.epilogue else space, output=True)
        for o in kernel.outputs
    )
    words = tuple(
        int(w)
        for w in rng.choice(
            np.concatenate([SPECIAL, rng.integers(0, 1 << 32, 4).astype(np.uint32)]), 8
        )
    )
    return VexecWork(kernel, words, inputs, outputs, space, TABLES)


def _stream(rng: Rng, extents: tuple[int, ...], *, output: bool) -> Region:
    small = np.prod(extents) * 4 <= ACC_BYTES // 2
    space = Space.acc if small and rng.integers(4) == 0 else Space.spm
    names = ["i32", "f32"] if space is Space.acc else [d.name for d in DType]
    dtype = DType[str(rng.choice(names))]
    if dtype is DType.i64 and not output:
        dtype = DType.i8  # most random words do not fit: that trap has a test of its own
    return random_region(
        rng, dtype, extents, space=space, output=output, windows=bool(rng.integers(3) == 0)
    )


def random_transfer(rng: Rng) -> DmaWork:
    """A load or store whose box may hang over every edge of the tensor."""
    rank = int(rng.integers(1, 6))
    dtype = DType[str(rng.choice([d.name for d in DType]))]
    extents = tuple(int(e) for e in rng.integers(1, 6, rank))
    box = tuple(int(e) for e in rng.integers(1, 5, rank))
    spm_strides = dense_strides(rng, box, dtype.bytes)
    address = place(rng, Space.spm, dtype, box, spm_strides)
    corner = tuple(int(c) for c in rng.integers(-4, 6, rank))
    is_load = bool(rng.integers(2))
    if is_load and rng.integers(6) == 0:
        spm_strides = (0,) * rank
    segment = Segment.input if is_load else Segment.output
    made = TensorMap(
        segment,
        dtype,
        int(rng.integers(0, 64)),
        extents,
        dense_strides(rng, extents, dtype.bytes),
        box,
        spm_strides,
        int(rng.integers(0, 1 << 32)),
    )
    return DmaWork(made, corner, address, is_load)
