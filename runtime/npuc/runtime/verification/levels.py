"""The values of a model at each level of one compilation: nn after each stage, tile, the binary."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.driver import CompileResult
from npuc.compiler.interpreter import Memo, evaluate, graph_of
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers, Pipeline
from npuc.compiler.tile_interpreter import TileResult, evaluate_tiles
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import RunOptions, run
from npuc.isa.program import Program
from npuc.runtime.arrays import AnyArray, Arrays
from npuc.runtime.building import Model, build
from npuc.runtime.random_inputs import InputKind

EMULATOR_PATHS = ("fast", "plain")


@dataclass(frozen=True)
class Compilation:
    """One compilation with the nn and tile modules that its stages left, by stage in order."""

    result: CompileResult
    modules: Mapping[str, ModuleOp]
    tiles: Mapping[str, ModuleOp]

    def input_kinds(self) -> dict[str, InputKind]:
        """Element type and shape of each input of the model."""
        first = next(iter(self.modules.values()))
        return {
            name: InputKind(dtype_of(value), shape_of(value))
            for name, value in graph_of(first).inputs.items()
        }


def compile_watched(model: Model, options: CompileOptions, pipeline: Pipeline) -> Compilation:
    """Compile ``model`` and keep a copy of the module after each stage that ends in nn or tile.

    Raises: as ``build``.
    """
    watcher = _Watcher({stage.name: stage.dialect for stage in pipeline.stages})
    observers = Observers(after_stage=watcher.after_stage)
    result = build(model, options, pipeline, observers)
    return Compilation(result, watcher.modules, watcher.tiles)


def nn_values(
    compilation: Compilation, inputs: Mapping[str, AnyArray], memo: Memo | None = None
) -> dict[str, Arrays]:
    """The model's outputs in machine numerics after each nn stage, by stage in order.

    ``memo`` spares what another compilation with the same inputs has evaluated.
    Raises: InputError for inputs that do not suit the model.
    """
    consts, memo = compilation.result.ctx.consts, memo or Memo()
    return {
        stage: evaluate(module, inputs, consts, memo)
        for stage, module in compilation.modules.items()
    }


def tile_values(compilation: Compilation, inputs: Mapping[str, AnyArray]) -> dict[str, TileResult]:
    """Every tensor of the program after each tile stage, by stage in order.

    Raises: ExecutionError where a command traps or leaves its slot.
    """
    consts = compilation.result.ctx.consts
    return {
        stage: evaluate_tiles(module, inputs, consts) for stage, module in compilation.tiles.items()
    }


def emulated_values(
    program: Program, inputs: Mapping[str, AnyArray]
) -> Iterator[tuple[str, Arrays]]:
    """The program's outputs on each path of the emulator, by path."""
    for path in EMULATOR_PATHS:
        yield path, run(program, inputs, RunOptions(path=path)).outputs


@dataclass
class _Watcher:
    """Copies modules as the pipeline passes them by: it goes on to change them in place."""

    dialects: Mapping[str, str]
    modules: dict[str, ModuleOp] = field(default_factory=dict)
    tiles: dict[str, ModuleOp] = field(default_factory=dict)

    def after_stage(self, stage: str, module: ModuleOp) -> None:
        if self.dialects[stage] == "nn":
            self.modules[stage] = module.clone()
        elif self.dialects[stage] == "tile":
            self.tiles[stage] = module.clone()
