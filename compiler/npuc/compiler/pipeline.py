"""The order of all passes, in one tuple, and the pipeline that runs it.

Stage names are what ``--stop-after``, ``--start-from`` and ``--print-after`` accept. The IR is
verified after each stage, or each pass where the options ask for it, and after each stage only what
``npuc.compiler.legality`` lists may remain.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from npuc.compiler.backend.lower_tiles import LowerTiles
from npuc.compiler.backend.place_memory import PlaceMemory
from npuc.compiler.context import NpuContext
from npuc.compiler.legality import check_legality
from npuc.compiler.passes.absorb_pads import AbsorbPads
from npuc.compiler.passes.check_groups import CheckGroups
from npuc.compiler.passes.compose_generics import ComposeGenerics
from npuc.compiler.passes.copy_outputs import CopyOutputs
from npuc.compiler.passes.decompose import Decompose
from npuc.compiler.passes.fold_constants import FoldConstants
from npuc.compiler.passes.fold_scales import FoldScales
from npuc.compiler.passes.form_groups import FormGroups
from npuc.compiler.passes.place_pieces import PlacePieces
from npuc.compiler.passes.schedule_groups import ScheduleGroups
from npuc.compiler.passes.sink_dequantize import SinkDequantize
from npuc.compiler.passes.transposes.absorb_shuffles import AbsorbShuffles
from npuc.compiler.passes.transposes.absorb_transposes import AbsorbTransposes
from npuc.compiler.passes.transposes.sink_transposes import SinkTransposes
from npuc.compiler.quant.fold_qdq import FoldQdq
from npuc.compiler.quant.fold_zero_points import FoldZeroPoints
from npuc.compiler.quant.lower_elementwise import LowerElementwise
from npuc.compiler.quant.lower_quantization import LowerQuantization
from npuc.compiler.quant.narrow_floats import NarrowFloats
from npuc.compiler.quant.split_groups import SplitGroups
from npuc.compiler.xdsl_api import ModuleOp, ModulePass, VerifyException, verify_inside
from npuc.isa.errors import CompileError, UsageError
from npuc.isa.oracle import CycleOracle


@dataclass(frozen=True)
class Stage:
    """A named part of the pipeline: the dialect that it ends in, and its passes in order."""

    name: str
    dialect: str
    passes: tuple[ModulePass, ...] = ()


STAGES: tuple[Stage, ...] = (
    Stage("import", "nn"),  # the frontend makes the module
    Stage(
        "normalise",
        "nn",
        (
            SinkTransposes(),
            SinkDequantize(),  # after the transposes met: it moves the rest before dequantisation
            Decompose(),  # after sink-dequantize: max pooling of integers needs no float
            FoldConstants(),
            FoldScales(),  # after fold-constants and sink-transposes: weights are known and beside
        ),
    ),
    Stage(
        "quantize",
        "nn",
        (
            FoldQdq(),
            AbsorbPads(),  # after fold-qdq: it knows the zero point; lower-elementwise ends padding
            SplitGroups(),  # before fold-zero-points: each group has its own correction
            FoldZeroPoints(),  # after fold-qdq: corrections go to the biases that it makes
            LowerQuantization(),
            LowerElementwise(),  # after fold-qdq: it looks for clips and additions by name
            FoldConstants(keep_quantized=False),
            NarrowFloats(),  # last: it sees which work reads which tensor, and all constants
        ),
    ),
    Stage(
        "fuse",
        "nn",
        (
            AbsorbTransposes(),
            ComposeGenerics(),
            AbsorbShuffles(),  # after compose-generics: the reshapes it leaves keep generics apart
            CopyOutputs(),  # after compose-generics: a copy stays a copy
            PlacePieces(),  # after copy-outputs: an output is never a piece of something else
            FormGroups(),  # last: it closes what is fused
        ),
    ),
    Stage("partition", "nn", (CheckGroups(),)),
    Stage("schedule", "tile", (ScheduleGroups(),)),
    Stage("lower", "npu", (LowerTiles(),)),
    Stage("place", "npu", (PlaceMemory(),)),
    Stage("emit", "npu"),  # the driver writes the program; the module stays
)

Observer = Callable[[str, ModuleOp], None]


def _ignore(name: str, module: ModuleOp) -> None:
    """The observer that observes nothing."""


@dataclass(frozen=True)
class Observers:
    """What is called with the module: after each pass, and after each stage, by its name."""

    after_pass: Observer = _ignore
    after_stage: Observer = _ignore


@dataclass(frozen=True)
class Pipeline:
    """Stages that can be edited by name; every edit gives a new pipeline.

    A name is a stage's, a pass's where it is unique, or ``stage/pass``. ``oracle`` times whole
    programs, so that -O3 can compare them.
    """

    stages: tuple[Stage, ...] = STAGES
    oracle: CycleOracle | None = None

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages in order."""
        return tuple(stage.name for stage in self.stages)

    def insert_before(self, name: str, new: ModulePass) -> "Pipeline":
        """With ``new`` before the pass ``name``, or first in the stage ``name``.

        Raises: UsageError for an unknown or ambiguous name, or when ``new`` is there already.
        """
        self._check_absent(new)
        stage, position = self._place(name)
        at = 0 if position is None else position
        return self._with_passes(stage, (*stage.passes[:at], new, *stage.passes[at:]))

    def insert_after(self, name: str, new: ModulePass) -> "Pipeline":
        """With ``new`` after the pass ``name``, or last in the stage ``name``. Raises: as above."""
        self._check_absent(new)
        stage, position = self._place(name)
        at = len(stage.passes) if position is None else position + 1
        return self._with_passes(stage, (*stage.passes[:at], new, *stage.passes[at:]))

    def replace(self, name: str, new: ModulePass) -> "Pipeline":
        """With ``new`` instead of the pass ``name``. Raises: UsageError, also for a stage."""
        stage, at = self._pass_place(name)
        if new.name != stage.passes[at].name:
            self._check_absent(new)
        return self._with_passes(stage, (*stage.passes[:at], new, *stage.passes[at + 1 :]))

    def remove(self, name: str) -> "Pipeline":
        """Without the pass ``name``. Raises: UsageError, also for a stage."""
        stage, at = self._pass_place(name)
        return self._with_passes(stage, (*stage.passes[:at], *stage.passes[at + 1 :]))

    def stages_between(self, start_from: str | None, stop_after: str | None) -> tuple[Stage, ...]:
        """The stages after which ``start_from`` and up to ``stop_after``, both included.

        Raises: UsageError for an unknown stage or a range that is empty.
        """
        names = self.stage_names
        for name in (start_from, stop_after):
            if name is not None and name not in names:
                raise _unknown("stage", name, names)
        first = names.index(start_from) if start_from else 0
        last = names.index(stop_after) if stop_after else len(names) - 1
        if first > last:
            raise UsageError(
                "--start-from comes after --stop-after",
                given=f"{start_from} and {stop_after}",
                allowed=" < ".join(names),
            )
        return self.stages[first : last + 1]

    def run(self, ctx: NpuContext, module: ModuleOp, observers: Observers = Observers()) -> None:
        """Run the stages that the options of ``ctx`` ask for, in place.

        Raises: CompileError naming the pass or stage that left an invalid module.
        """
        options = ctx.options
        is_verified = False  # what the frontend or a file gives is not
        for stage in self.stages_between(options.start_from, options.stop_after):
            for compiler_pass in stage.passes:
                compiler_pass.apply(ctx, module)
                is_verified = options.verify_each_pass
                if is_verified:
                    _verify(module, f"pass {compiler_pass.name}")
                observers.after_pass(compiler_pass.name, module)
            if not is_verified:
                _verify(module, f"stage {stage.name}")
                is_verified = True
            check_legality(stage.name, module)
            observers.after_stage(stage.name, module)

    def _passes(self) -> Iterator[tuple[Stage, int, str]]:
        for stage in self.stages:
            for position, compiler_pass in enumerate(stage.passes):
                yield stage, position, compiler_pass.name

    def _place(self, name: str) -> tuple[Stage, int | None]:
        for stage in self.stages:
            if stage.name == name:
                return stage, None
        stage_name, _, pass_name = name.rpartition("/")
        found = [
            (stage, position)
            for stage, position, given in self._passes()
            if given == pass_name and stage_name in ("", stage.name)
        ]
        if not found:
            names = [*self.stage_names, *(given for _, _, given in self._passes())]
            raise _unknown("stage or pass", name, dict.fromkeys(names))
        if len(found) > 1:
            raise UsageError(
                "several passes have this name",
                given=name,
                allowed=", ".join(f"{stage.name}/{name}" for stage, _ in found),
            )
        return found[0]

    def _pass_place(self, name: str) -> tuple[Stage, int]:
        stage, position = self._place(name)
        if position is None:
            raise UsageError(
                "a stage cannot be replaced or removed, only its passes",
                given=name,
                allowed=", ".join(p.name for p in stage.passes),
            )
        return stage, position

    def _check_absent(self, new: ModulePass) -> None:
        if any(name == new.name for _, _, name in self._passes()):
            raise UsageError(
                "the pipeline has a pass of this name already",
                given=new.name,
                next_step="use replace, or give the new pass another name",
            )

    def _with_passes(self, stage: Stage, passes: tuple[ModulePass, ...]) -> "Pipeline":
        edited = replace(stage, passes=passes)
        return replace(self, stages=tuple(edited if s is stage else s for s in self.stages))


def _unknown(what: str, name: str, names: Iterable[str]) -> UsageError:
    allowed = ", ".join(names)
    return UsageError(f"unknown {what}", given=name, allowed=allowed)


def _verify(module: ModuleOp, where: str) -> None:
    try:
        verify_inside(module)  # which is xDSL's own, a block and nothing else
    except VerifyException as error:
        raise CompileError(
            "the IR is invalid",
            where=f"after {where}",
            given=str(error).splitlines()[0],
            next_step="this is a defect of npuc or of a plug-in: please report it; "
            "npuc verify MODEL names the pass",
        ) from error
