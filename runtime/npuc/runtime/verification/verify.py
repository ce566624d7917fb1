"""``verify``: a model's values at every level of its compilation, against each other and ONNX.

nn is evaluated after each stage; from quantize on, each stage, the tile level, the emulator's fast
path and its plain twin must agree bit for bit. ONNX judges what comes before, and every quantised
tensor inside the model by name, within the rules of ``exposure.output_rules``.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from npuc.compiler.interpreter import group_values
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Pipeline
from npuc.runtime.arrays import AnyArray, Arrays
from npuc.runtime.building import Model, program_of
from npuc.runtime.plugins import extended
from npuc.runtime.random_inputs import DEFAULT_SEED, random_inputs
from npuc.runtime.verification.against_onnx import against_onnx
from npuc.runtime.verification.bisection import Culprit, find_culprit
from npuc.runtime.verification.case import QUANTIZE, Case
from npuc.runtime.verification.comparison import EXACT, Comparison, Sides, compare
from npuc.runtime.verification.exposure import input_ranges
from npuc.runtime.verification.levels import (
    EMULATOR_PATHS,
    Compilation,
    compile_watched,
    emulated_values,
    nn_values,
    tile_values,
)
from npuc.runtime.verification.pinpoint import (
    Origin,
    first_split,
    first_wrong_store,
    first_wrong_tensor,
)
from npuc.runtime.verification.referee import judge
from npuc.runtime.verification.reproducer import check_folder, write_reproducer

NOBODY = "nobody"


@dataclass(frozen=True)
class VerifyOptions:
    """What to verify with: ``inputs`` by name, or seeded random ones that suit the model.

    ``onnx`` false leaves ONNX out. ``plugins`` change ``pipeline`` (default: npuc's own). After a
    failure ``bisect`` looks for the pass to blame, and ``reproduce`` is the folder to write.
    """

    inputs: Mapping[str, AnyArray] | None = None
    seed: int = DEFAULT_SEED
    onnx: bool = True
    plugins: Sequence[Path] = ()
    pipeline: Pipeline | None = None
    bisect: bool = False
    reproduce: Path | None = None


@dataclass(frozen=True)
class VerifyReport:
    """All comparisons, in the order of the levels; ``judge`` is who spoke for ONNX.

    After a failure ``origins`` tell the first tensors and instructions that differ; ``culprit``
    is the pass to blame where it was asked for, ``replay`` the command that repeats the failure.
    """

    model: str
    target: str
    level: int
    judge: str
    comparisons: tuple[Comparison, ...]
    origins: tuple[Origin, ...] = ()
    culprit: Culprit | None = None
    replay: str = ""

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
            "origins": [origin.to_json() for origin in self.origins],
            "culprit": self.culprit.to_json() if self.culprit else None,
            "comparisons": [c.to_json() for c in self.comparisons],
        }


def verify_model(
    model: Model, options: CompileOptions, chosen: VerifyOptions | None = None
) -> VerifyReport:
    """Compile ``model`` as ``options`` ask and hold all its levels against each other.

    Raises: as ``build``; InputError for inputs that do not suit the model; ModelError when ONNX's
    side cannot be computed.
    """
    chosen = chosen or VerifyOptions()
    if chosen.reproduce is not None:
        check_folder(chosen.reproduce)
    pipeline = extended(chosen.pipeline or Pipeline(), chosen.plugins)
    compilation = compile_watched(model, options, pipeline)
    proto = _load(model)
    inputs = _inputs(compilation, proto, chosen)
    case = Case(model, proto, options, pipeline, inputs, chosen.plugins)
    values = nn_values(compilation, inputs, case.memo)
    judged = list(against_onnx(case, values)) if chosen.onnx else []
    comparisons = (*judged, *_own_levels(case, compilation, values))
    who = judged[0].against if judged else NOBODY
    report = VerifyReport(case.name, options.target, options.level, who, comparisons)
    return report if report.passed else _explained(report, case, compilation, chosen)


def _own_levels(
    case: Case, compilation: Compilation, values: Mapping[str, Arrays]
) -> list[Comparison]:
    comparisons = list(_exact_levels(compilation, values, case.inputs))
    if not all(c.passed for c in comparisons):
        comparisons += _inside(case)
    return comparisons


def _explained(
    report: VerifyReport,
    case: Case,
    compilation: Compilation,
    chosen: VerifyOptions,
) -> VerifyReport:
    """The failed ``report`` with where it went wrong and, where asked for, because of what."""
    culprit = None
    if chosen.bisect or chosen.reproduce is not None:
        judgement = judge(case.proto, case.inputs) if chosen.onnx else None
        culprit = find_culprit(case, judgement)
    failed = frozenset(c.stage for c in report.comparisons if not c.passed)
    told = replace(report, origins=tuple(_origins(case, compilation, failed)), culprit=culprit)
    if chosen.reproduce is None:
        return told
    found = (culprit, compilation.result.ctx.consts)
    return replace(told, replay=write_reproducer(chosen.reproduce, case, told.to_json(), found))


def _origins(case: Case, compilation: Compilation, failed: AbstractSet[str]) -> Iterator[Origin]:
    """The first tensor that differs at the tile level, the first instructions of the binary.

    Of levels that ``failed`` alone: the others are right, whatever lies in bytes that are shared.
    """
    consts, program = compilation.result.ctx.consts, program_of(compilation.result)
    stages = list(compilation.modules)
    expected = group_values(compilation.modules[stages[-1]], case.inputs, consts)
    wrong = [stage for stage in compilation.tiles if f"tile after {stage}" in failed]
    values = tile_values(compilation, case.inputs) if wrong else {}
    for stage in wrong:
        result = values[stage]
        origin = first_wrong_tensor(f"tile after {stage}", result.tensors, expected)
        if origin is not None:
            yield origin
    paths = [path for path in EMULATOR_PATHS if f"emulator, {path}" in failed]
    found = [first_wrong_store(program, case.inputs, path, expected) for path in paths]
    if paths:
        found.append(first_split(program, case.inputs))
    yield from (origin for origin in found if origin is not None)


def _load(model: Model) -> onnx.ModelProto:
    return onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(model)


def _inputs(
    compilation: Compilation, proto: onnx.ModelProto, chosen: VerifyOptions
) -> Mapping[str, AnyArray]:
    if chosen.inputs is not None:
        return {
            name: array.view(np.int8) if array.dtype == np.bool_ else array
            for name, array in chosen.inputs.items()
        }
    ranges = input_ranges(proto)
    kinds = {
        name: replace(kind, low=ranges[name][0], high=ranges[name][1]) if name in ranges else kind
        for name, kind in compilation.input_kinds().items()
    }
    return random_inputs(kinds, chosen.seed)


def _exact_stages(values: Mapping[str, Arrays]) -> Iterator[Comparison]:
    """The stages after quantize against quantize."""
    stages = list(values)
    for stage in stages[stages.index(QUANTIZE) + 1 :]:
        yield from _exactly(f"nn after {stage}", values[stage], values[QUANTIZE])


def _exact_levels(
    compilation: Compilation, values: Mapping[str, Arrays], inputs: Mapping[str, AnyArray]
) -> Iterator[Comparison]:
    """Everything after quantize against quantize: nn stages, tile, both paths of the emulator."""
    yield from _exact_stages(values)
    for stage, result in tile_values(compilation, inputs).items():
        yield from _exactly(f"tile after {stage}", result.outputs, values[QUANTIZE])
    for path, outputs in emulated_values(program_of(compilation.result), inputs):
        yield from _exactly(f"emulator, {path}", outputs, values[QUANTIZE])


def _inside(case: Case) -> Iterator[Comparison]:
    """Something differs in the outputs: which tensor inside is the first, at which level?"""
    compilation = case.compile_exposed(None)
    values = nn_values(compilation, case.inputs, case.memo)
    found = _exact_levels(compilation, values, case.inputs)
    yield from (c for c in found if not c.passed)


def _exactly(stage: str, given: Arrays, expected: Arrays) -> Iterator[Comparison]:
    for name, value in expected.items():
        yield compare(Sides(stage, f"nn after {QUANTIZE}", name), given[name], value, EXACT)
