"""``verify``: a model's values at every level of its compilation, against each other and ONNX.

nn is evaluated after each stage; from quantize on, each stage, the emulator's fast path and its
plain twin must agree bit for bit. ONNX judges the quantised form within the rules of
``exposure.output_rules``: outputs of the model, and every quantised tensor inside it by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from npuc.compiler.driver import CompileResult
from npuc.compiler.interpreter import Memo, evaluate
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Pipeline
from npuc.emulator.machine import RunOptions, run
from npuc.runtime.arrays import AnyArray, Arrays
from npuc.runtime.building import Model, build
from npuc.runtime.random_inputs import DEFAULT_SEED
from npuc.runtime.verification.comparison import EXACT, Comparison, Rule, Sides, compare
from npuc.runtime.verification.exposure import expose_quantised, output_rules
from npuc.runtime.verification.referee import judge

FIRST_EXACT_STAGE = "quantize"
EMULATOR_PATHS = ("fast", "plain")


@dataclass(frozen=True)
class VerifyOptions:
    """What to verify with: ``inputs`` by name, or seeded random ones that suit the model."""

    inputs: Mapping[str, AnyArray] | None = None
    seed: int = DEFAULT_SEED
    onnx: bool = True
    plugins: Sequence[Path] = ()
    pipeline: Pipeline | None = None


@dataclass(frozen=True)
class VerifyReport:
    """All comparisons, in the order of the levels; ``judge`` is who spoke for ONNX."""

    model: str
    target: str
    level: int
    judge: str
    comparisons: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        """Whether every comparison passed."""
        return self.first_failure is None

    @property
    def first_failure(self) -> Comparison | None:
        """The first comparison that failed, in the order of the levels."""
        return next((c for c in self.comparisons if not c.passed), None)

    def to_json(self) -> dict[str, object]:
        """The whole report as plain data."""
        failure = self.first_failure
        return {
            "model": self.model,
            "target": self.target,
            "level": self.level,
            "judge": self.judge,
            "passed": self.passed,
            "first_failure": failure.to_json() if failure else None,
            "comparisons": [c.to_json() for c in self.comparisons],
        }
