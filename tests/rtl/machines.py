"""The machines that the referee compares: one build of the Verilog each, and its settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from npuc.isa.target import Target, load_target

SPM_BYTES = 1 << 14
ACC_BYTES = 1 << 13
SPM_WORD_BYTES = 16
START_UP = 8


@dataclass(frozen=True)
class Build:
    """What is fixed when the Verilog is compiled.

    ``buses``: most weight rows per cycle. The vpu has as many lanes as the array has columns.
    """

    rows: int
    cols: int
    double_buffer: bool
    buses: int = 1
    spm_banks: int = 4
    acc_banks: int = 2
    chain_depth: int = 4

    @property
    def name(self) -> str:
        """As results call it."""
        return (
            f"{self.rows}x{self.cols} {'double' if self.double_buffer else 'single'} buffer, "
            f"{self.spm_banks} and {self.acc_banks} banks"
        )

    @property
    def parameters(self) -> dict[str, int]:
        """The parameters of module npu."""
        return {
            "ROWS": self.rows,
            "COLS": self.cols,
            "DOUBLE_BUFFER": int(self.double_buffer),
            "BUSES": self.buses,
            "SPM_BYTES": SPM_BYTES,
            "SPM_BANKS": self.spm_banks,
            "SPM_WIDTH": SPM_WORD_BYTES,
            "ACC_WORDS": ACC_BYTES // 4,
            "ACC_BANKS": self.acc_banks,
            "LANES": self.cols,
            "CHAIN": self.chain_depth,
            "START_UP": START_UP,
        }


# The machines of the tests, and those that the whole comparison adds.
SMALL = (
    Build(4, 4, double_buffer=True),
    Build(4, 4, double_buffer=False, acc_banks=1),
    Build(8, 8, double_buffer=True, buses=2),
    Build(8, 8, double_buffer=False, buses=2),
)
LARGE = (
    Build(16, 16, double_buffer=True, buses=4, spm_banks=8, acc_banks=4, chain_depth=8),
    Build(16, 16, double_buffer=False, buses=4, spm_banks=8, acc_banks=4, chain_depth=8),
    Build(4, 4, double_buffer=True, acc_banks=1),
    Build(4, 8, double_buffer=True, buses=2),
    Build(8, 4, double_buffer=False, spm_banks=8),
)


@dataclass(frozen=True)
class Settings:
    """What a build takes as inputs: fold overlap, weight rows per cycle straight and transposed."""

    fold_overlap: bool
    rows_per_cycle: Fraction = Fraction(1)
    transposed_per_cycle: Fraction = Fraction(1, 4)

    @property
    def words(self) -> tuple[int, ...]:
        """As the bench reads them."""
        rates = (self.rows_per_cycle, self.transposed_per_cycle)
        return (int(self.fold_overlap), *(part for r in rates for part in r.as_integer_ratio()))


def settings_of(build: Build) -> tuple[Settings, ...]:
    """With and without overlap, at the rates that the build's weight buses allow."""
    rates = (Fraction(1, 2), Fraction(1), Fraction(2), Fraction(4))
    fit = [rate for rate in rates if rate <= build.buses]
    return tuple(Settings(overlap, rate, rate / 4) for overlap in (True, False) for rate in fit)


def target_of(build: Build, settings: Settings) -> Target:
    """The emulator's description of the same machine; what is not said is tiny's."""
    tiny = load_target("tiny")
    return replace(
        tiny,
        name=build.name,
        mxu=replace(
            tiny.mxu,
            rows=build.rows,
            cols=build.cols,
            dataflow="ws",
            weight_rows_per_cycle=float(settings.rows_per_cycle),
            transposed_rows_per_cycle=float(settings.transposed_per_cycle),
            weight_double_buffer=build.double_buffer,
            fold_overlap=settings.fold_overlap,
        ),
        spm=replace(
            tiny.spm,
            capacity_bytes=SPM_BYTES,
            banks=build.spm_banks,
            bank_width_bytes=SPM_WORD_BYTES,
        ),
        acc=replace(tiny.acc, capacity_bytes=ACC_BYTES, banks=build.acc_banks),
        vpu=replace(
            tiny.vpu,
            lanes=build.cols,
            chain_depth=build.chain_depth,
            startup_cycles=START_UP,
        ),
    )
