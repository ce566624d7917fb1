"""Group problems: what the scheduler must know about a fused group, frozen and outside the IR.

Every group, matrix or vector, is one iteration space of seven dimensions
(p0, p1, p2, p3, r0, r1, r2). A contraction uses them as (m0, m1, m2, n, k0, k1, k2); its epilogue
runs over the parallel ones. Every operand axis is indexed by a linear form of the dimensions, so
that convolution, pooling, product and elementwise work share one tiling and one lowering.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from functools import cached_property, lru_cache
from operator import mul

from npuc.isa.descriptors import Kernel, Params
from npuc.isa.dtypes import DType
from npuc.isa.hashing import keeps_hash

RANK = 7
PARALLEL = 4
DIM_NAMES = ("m0", "m1", "m2", "n", "k0", "k1", "k2")
M_DIMS = (0, 1, 2)
N_DIM = 3
K_DIMS = (4, 5, 6)
NO_PARAMS = Params(())


@dataclass(frozen=True)
class LinearForm:
    """constant + sum(coefficients[d] * index of dimension d); coefficients are not negative."""

    coefficients: tuple[int, ...]
    constant: int = 0

    def __post_init__(self) -> None:
        assert len(self.coefficients) == RANK

    def box(self, tile: tuple[int, ...]) -> int:
        """Number of consecutive indices that a tile of these extents touches."""
        last: int = sum(map(mul, self.coefficients, tile)) - sum(self.coefficients)
        return last + 1

    @property
    def dims(self) -> frozenset[int]:
        """Dimensions that the form depends on."""
        return frozenset(d for d, c in enumerate(self.coefficients) if c)


class Home(StrEnum):
    """Where an operand is when its group runs.

    ``dram``: tiles of it move through a ring of SPM slots. ``spm``: it lies there whole, for the
    group to use in place. ``fetched``: likewise, and this group loads it whole at its start.
    """

    dram = auto()
    spm = auto()
    fetched = auto()


@keeps_hash
@dataclass(frozen=True)
class Operand:
    """A tensor of the group: where its axes lie in memory and how the space indexes them.

    ``argument`` numbers the group's tensors; ``strides`` are bytes per axis, ``base`` the bytes
    before the first element, in DRAM or in the SPM buffer of its ``home``. Indices
    outside ``shape`` read as ``fill`` (raw bits). ``queue`` is the engine that loads it (ld0, ld1)
    or st for an output.

    ``rows_from`` numbers the operand whose elements are the indices along the first axis, of which
    the form then counts elements of that list: such rows are gathered from DRAM one by one.

    ``is_paneled``: a constant of this group alone that may be stored as its tiles want it.
    ``waits``: other cores make it, so that its queue waits for their signals.
    """

    argument: int
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    forms: tuple[LinearForm, ...]
    queue: str
    fill: int = 0
    name: str = field(default="", compare=False)
    base: int = 0
    home: Home = Home.dram
    rows_from: int | None = None
    is_paneled: bool = False
    waits: bool = False

    @property
    def is_resident(self) -> bool:
        """Whether commands find the whole operand in SPM."""
        return self.home is not Home.dram

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Bytes that a step along each dimension of the space moves in the operand's memory."""
        return _steps(tuple([f.coefficients for f in self.forms]), self.strides)

    @cached_property
    def origin(self) -> int:
        """Byte offset of the point at which all dimensions are 0; may be negative."""
        return self.base + sum(
            f.constant * s for f, s in zip(self.forms, self.strides, strict=True)
        )

    def masked_axes(self, extents: tuple[int, ...]) -> tuple[int, ...]:
        """Axes that a space of ``extents`` indexes outside the shape: padding."""
        indexed = enumerate(zip(self.forms, self.shape, strict=True))
        return tuple(
            [
                axis
                for axis, (form, size) in indexed
                if form.constant < 0 or form.constant + form.box(extents) > size
            ]
        )

    @cached_property
    def dims(self) -> frozenset[int]:
        """Dimensions that any axis depends on."""
        return frozenset().union(*(form.dims for form in self.forms))

    def box(self, tile: tuple[int, ...]) -> tuple[int, ...]:
        """Extents of the box that a tile touches, one per axis."""
        return tuple(form.box(tile) for form in self.forms)

    def coefficient(self, axis: int, dim: int) -> int:
        """How far axis ``axis`` moves when dimension ``dim`` advances by one."""
        return self.forms[axis].coefficients[dim]


@lru_cache(maxsize=4096)
def _steps(coefficients: tuple[tuple[int, ...], ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """By dimension, the bytes of one step of it; ``coefficients`` and ``strides`` by axis."""
    by_dim = zip(*coefficients, strict=True) if coefficients else [()] * RANK
    return tuple(sum(c * s for c, s in zip(of_dim, strides, strict=True)) for of_dim in by_dim)


@dataclass(frozen=True)
class Contraction:
    """The matrix part: operand numbers of A and W and the accumulator's element type."""

    a: int
    w: int
    acc_dtype: DType


@dataclass(frozen=True)
class VectorWork:
    """The vector part: kernel, parameters and its streams.

    ``inputs`` holds one operand number per stream, or -1 for the contraction's accumulator.
    ``outputs`` holds one operand number per kernel output.
    """

    kernel: Kernel
    params: Params
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @cached_property
    def without_params(self) -> "VectorWork":
        """The same work, whatever its parameters are."""
        return replace(self, params=NO_PARAMS)


@dataclass(frozen=True)
class GroupProblem:
    """One fused group, ready to be tiled. Hashable: equal problems are solved once.

    ``cycles_before``: of a group that waits for other cores, about the time that the groups just
    before it leave its queues to load what need not wait.
    """

    extents: tuple[int, ...]
    operands: tuple[Operand, ...]
    vector: VectorWork
    contraction: Contraction | None = None
    name: str = field(default="", compare=False)
    cycles_before: int = 0

    def __post_init__(self) -> None:
        assert len(self.extents) == RANK

    @property
    def inputs(self) -> tuple[int, ...]:
        """Operand numbers that are loaded, ascending."""
        return tuple(i for i in range(len(self.operands)) if i not in self.vector.outputs)

    @cached_property
    def waits(self) -> bool:
        """Whether the group waits for other cores."""
        return any(o.waits for o in self.operands)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the contraction; 0 without one."""
        if self.contraction is None:
            return 0
        product = 1
        for extent in self.extents:
            product *= extent
        return product
