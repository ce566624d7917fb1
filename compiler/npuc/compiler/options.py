"""What a user may ask of a compilation, with its defaults: the one place of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from npuc.isa.dtypes import DType
from npuc.isa.errors import UsageError

PRECISIONS = {"float32": DType.f32, "bf16": DType.bf16, "fp16": DType.f16}
OPTIMISATION_LEVELS = (0, 1, 2, 3)
RERANKED_FROM_LEVEL = 3


@dataclass(frozen=True)
class CompileOptions:
    """Options of one compilation.

    ``dims`` binds symbolic dimensions by name, ``shapes`` whole inputs by name; ``stop_after``,
    ``start_from`` and ``print_after`` are stage names (``print_after`` also takes ``all``).
    Optimisation levels never change a bit of the result (level 3 times whole programs, if the
    pipeline has a ``CycleOracle``); ``precision`` does: it is the element
    type of the operands of float products and of the tensors between groups. ``cores``: how many
    may share the work; None for all of the target from level 2 on, one below, but as many as a
    schedule file says.
    ``verify_each_pass``: the IR is verified after every pass, not only after every stage, so that
    an error names the pass.
    """

    target: str = "edge"
    level: int = 2
    dims: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    precision: str = "float32"
    schedule: Path | None = None
    cores: int | None = None
    stop_after: str | None = None
    start_from: str | None = None
    print_after: tuple[str, ...] = ()
    verify_each_pass: bool = False

    def __post_init__(self) -> None:
        if self.level not in OPTIMISATION_LEVELS:
            raise UsageError(
                "unknown optimisation level",
                given=f"-O{self.level}",
                allowed=", ".join(f"-O{level}" for level in OPTIMISATION_LEVELS),
            )
        if self.cores is not None and self.cores < 1:
            raise UsageError("no core to run on", given=f"--cores {self.cores}", allowed=">= 1")
        if self.precision not in PRECISIONS:
            raise UsageError(
                "unknown precision",
                given=f"--precision {self.precision}",
                allowed=", ".join(PRECISIONS),
                next_step="an int8 model is a quantised ONNX model: its file says so",
            )


def parse_dim(text: str) -> tuple[str, int]:
    """``batch=1`` as a name and a size. Raises: UsageError naming the form."""
    name, _, size = text.partition("=")
    if not name or not size.isdecimal() or int(size) < 1:
        raise UsageError(
            "--dim is not understood",
            given=text,
            allowed="NAME=SIZE, size >= 1",
            next_step="write for example --dim batch=1",
        )
    return name, int(size)


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """``x=1x3x224x224`` as an input's name and shape. Raises: UsageError naming the form."""
    name, _, sizes = text.rpartition("=")
    parts = sizes.split("x")
    if not name or not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise UsageError(
            "--shape is not understood",
            given=text,
            allowed="INPUT=AxBxC",
            next_step="write for example --shape x=1x3x224x224",
        )
    return name, tuple(int(part) for part in parts)
