"""``verify``: a model's values at every level of its compilation, against each other and ONNX.

nn is evaluated after each stage; from quantize on, each stage, the emulator's fast path and its
plain twin must agree bit for bit. ONNX judges the quantised form within the rules of
``exposure.output_rules``: outputs of the model, and every quantised tensor inside it by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from npuc.compiler.pipeline import Pipeline

from npuc.compiler.options import CompileOptions
from npuc.runtime.arrays import AnyArray
from npuc.runtime.building import Model
from npuc.runtime.random_inputs import DEFAULT_SEED
from npuc.runtime.verification.comparison import Comparison

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


def verify_model(
    model: Model, options: CompileOptions, chosen: VerifyOptions | None = None
) -> VerifyReport:
    """Compile ``model`` as ``options`` ask and hold all its levels against each other.

    Raises: as ``build``; InputError for inputs that do not suit the model; ModelError when nobody
    can speak for ONNX.
    """
    chosen = chosen or VerifyOptions()
    case = _Case(model, replace(options, keep_modules=True), chosen)
    result = case.build(model)
    proto = _read(model)
    inputs = chosen.inputs or random_inputs(input_kinds(result.program, proto), chosen.seed)
    stages = _stage_values(result, inputs)
    comparisons = [*_between_levels(result, stages, inputs)]
    judge_name = "nobody"
    if chosen.onnx:
        judge_name, against_onnx = _against_onnx(case, proto, stages, inputs)
        comparisons = [*against_onnx, *comparisons]
    if not all(c.passed for c in comparisons):
        comparisons += _located(case, proto, inputs)
    return VerifyReport(
        result.program.debug.model_name,
        result.program.target.name,
        options.level,
        judge_name,
        tuple(comparisons),
    )
