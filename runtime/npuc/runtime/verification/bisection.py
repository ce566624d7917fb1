"""Which pass is to blame: the module is evaluated after every pass, the first wrong one is named.

Up to quantize ONNX judges within the rules of the stage; from there on the bits may not change.
Modules of the machine level are completed with npuc's own placing, emitted and run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from npuc.compiler.backend.emit import emit_program
from npuc.compiler.backend.place_memory import PlaceMemory
from npuc.compiler.context import NpuContext
from npuc.compiler.dialects import npu, tile
from npuc.compiler.dialects.nn import GraphOp
from npuc.compiler.interpreter import Memo, evaluate
from npuc.compiler.ir_text import print_module
from npuc.compiler.pipeline import Observers
from npuc.compiler.tile_interpreter import evaluate_tiles
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import run
from npuc.isa.errors import NpucError
from npuc.runtime.arrays import Arrays
from npuc.runtime.building import build
from npuc.runtime.verification.case import QUANTIZE, Case
from npuc.runtime.verification.comparison import EXACT, Comparison, Rule, Sides, compare, suited
from npuc.runtime.verification.exposure import output_rules
from npuc.runtime.verification.referee import Judgement

IMPORT = "import"


@dataclass(frozen=True)
class Culprit:
    """The first pass whose result is wrong, with the module's text before and after it."""

    stage: str
    compiler_pass: str
    comparison: Comparison | None
    failure: str
    before: str
    after: str

    def __str__(self) -> str:
        """The culprit in one line."""
        if self.comparison is None:
            return f"pass {self.compiler_pass} of stage {self.stage}: {self.failure}"
        tensor, first = self.comparison.tensor, self.comparison.first
        return f"pass {self.compiler_pass} of stage {self.stage} changed {tensor}, first {first}"

    def to_json(self) -> dict[str, object]:
        """The culprit as plain data, without the texts."""
        found = self.comparison.to_json() if self.comparison else None
        return {
            "stage": self.stage,
            "pass": self.compiler_pass,
            "comparison": found,
            "failure": self.failure,
        }


@dataclass(frozen=True)
class _Snapshot:
    """The module after one pass; the import counts as the first."""

    stage: str
    compiler_pass: str
    module: ModuleOp


@dataclass
class _Recorder:
    """Copies the module after each pass: the pipeline goes on to change it."""

    order: Iterator[tuple[str, str]]
    snapshots: list[_Snapshot] = field(default_factory=list)

    def after_pass(self, name: str, module: ModuleOp) -> None:
        stage, expected = next(self.order)
        assert name == expected, "passes run in the order of the pipeline"
        self.snapshots.append(_Snapshot(stage, name, module.clone()))

    def after_stage(self, name: str, module: ModuleOp) -> None:
        if name == IMPORT:
            self.snapshots.insert(0, _Snapshot(name, name, module.clone()))


def find_culprit(case: Case, judgement: Judgement | None) -> Culprit | None:
    """The first pass after which the value is wrong; None where every pass keeps it.

    Raises: as ``build``.
    """
    passes = ((stage.name, p.name) for stage in case.pipeline.stages for p in stage.passes)
    recorder = _Recorder(iter(list(passes)))
    observers = Observers(recorder.after_pass, recorder.after_stage)
    result = build(case.model, case.options, case.pipeline, observers)
    hunt = _Hunt(case, result.ctx, judgement)
    before = ""
    for snapshot in recorder.snapshots:
        failed, failure = hunt.judged(snapshot)
        if failed is not None or failure:
            after = print_module(snapshot.module)
            return Culprit(snapshot.stage, snapshot.compiler_pass, failed, failure, before, after)
        before = print_module(snapshot.module)
    return None


@dataclass
class _Hunt:
    """Judges snapshots in order; ``exact`` is the value at the end of quantize once it is known."""

    case: Case
    ctx: NpuContext
    judgement: Judgement | None
    exact: Arrays = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo)

    def judged(self, snapshot: _Snapshot) -> tuple[Comparison | None, str]:
        """The first comparison that fails, and the text of an error that evaluation met."""
        try:
            values = self._values(snapshot.module)
        except NpucError as error:
            return None, str(error)
        if not self._is_late(snapshot.stage):
            self.exact = values
            return self._early(snapshot), ""
        found = (
            compare(self._sides(snapshot, f"nn after {QUANTIZE}", name), values[name], value, EXACT)
            for name, value in self.exact.items()
        )
        return next((c for c in found if not c.passed), None), ""

    def _early(self, snapshot: _Snapshot) -> Comparison | None:
        if self.judgement is None:
            return None
        rules = output_rules(self.case.proto)
        for name, value in self.exact.items():
            rule = Rule("steps", 1.0) if rules[name] == EXACT else rules[name]
            if snapshot.stage == QUANTIZE:
                rule = suited(rule, self.case.options.precision)
            sides = self._sides(snapshot, self.judgement.judge, name)
            outcome = compare(sides, value, self.judgement.outputs[name], rule)
            if not outcome.passed:
                return outcome
        return None

    def _is_late(self, stage: str) -> bool:
        names = self.case.pipeline.stage_names
        return names.index(stage) > names.index(QUANTIZE)

    def _sides(self, snapshot: _Snapshot, against: str, tensor: str) -> Sides:
        return Sides(f"after {snapshot.stage}/{snapshot.compiler_pass}", against, tensor)

    def _values(self, module: ModuleOp) -> Arrays:
        kinds = {type(op) for op in module.body.block.ops}
        if GraphOp in kinds:
            return evaluate(module, self.case.inputs, self.ctx.consts, self.memo)
        if tile.ProgramOp in kinds:
            return evaluate_tiles(module, self.case.inputs, self.ctx.consts).outputs
        placed = module.clone()
        if npu.unplaced(placed):
            PlaceMemory().apply(self.ctx, placed)
        return run(emit_program(placed, self.ctx), self.case.inputs).outputs
