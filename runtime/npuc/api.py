"""The friendly entry: ``from npuc import api``.

    result = api.compile("model.onnx", target="edge", dims={"batch": 1})
    outputs = api.run(result, {"x": x})
    assert api.verify("model.onnx", dims={"batch": 1}).passed
    print(api.profile(result).cycles)

Every mistake of the caller raises an ``NpucError`` that says what to do about it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypedDict, Unpack

from npuc.compiler.driver import CompileResult
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers, Pipeline, Stage
from npuc.compiler.planning.buffers import Buffer, Window
from npuc.compiler.planning.plan import Plan, PlanOptions
from npuc.compiler.planning.plan import plan as plan_buffers
from npuc.compiler.remarks import Remark
from npuc.emulator.machine import RunOptions
from npuc.emulator.machine import run as run_machine
from npuc.isa import container
from npuc.isa.errors import NpucError
from npuc.isa.program import Program
from npuc.isa.target import Target, load_target
from npuc.runtime.arrays import AnyArray, Arrays
from npuc.runtime.building import Model, build, program_of
from npuc.runtime.planning import load_buffers
from npuc.runtime.plugins import extended
from npuc.runtime.profiling import ProfileReport, profile_program
from npuc.runtime.verification import VerifyOptions, VerifyReport, verify_model

__all__ = [
    "Buffer",
    "CompileKeywords",
    "CompileResult",
    "NpucError",
    "Observers",
    "Pipeline",
    "Plan",
    "PlanOptions",
    "ProfileReport",
    "Program",
    "Remark",
    "Runnable",
    "Stage",
    "Target",
    "VerifyKeywords",
    "VerifyReport",
    "Window",
    "compile",
    "load",
    "load_target",
    "plan",
    "profile",
    "run",
    "save",
    "verify",
]

Runnable: TypeAlias = Program | CompileResult | str | Path


class CompileKeywords(TypedDict, total=False):
    """Options of a compilation; what is left out has the default of ``CompileOptions``.

    ``level`` 0 to 3 never changes a result. ``dims`` binds symbolic dimensions by name, ``shapes``
    whole inputs. ``precision`` is float32, bf16 or fp16, for what is float in the model.
    ``schedule`` is a file of decisions to replay, ``cores`` how many may share the work. ``load``
    are plug-in files and ``pipeline`` stands for npuc's own. ``stop_after`` and ``print_after``
    name stages.
    """

    level: int
    precision: str
    dims: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]
    schedule: str | Path | None
    cores: int | None
    load: Sequence[str | Path]
    pipeline: Pipeline
    stop_after: str | None
    print_after: tuple[str, ...]


class VerifyKeywords(CompileKeywords, total=False):
    """Also ``inputs`` by name, or a ``seed`` for random ones; ``onnx`` false leaves ONNX out.

    After a failure ``bisect`` names the pass to blame; ``reproduce`` is a folder that replays it.
    """

    inputs: Mapping[str, AnyArray] | None
    seed: int
    onnx: bool
    bisect: bool
    reproduce: str | Path | None


def compile(  # noqa: A001  # the verb that every reader looks for
    model: Model, target: str | Path = "edge", **keywords: Unpack[CompileKeywords]
) -> CompileResult:
    """Compile an ONNX file (or its bytes) for ``target``, a name or a TOML file.

    The result has ``program``, ``remarks`` and ``snapshots``. Raises: NpucError.
    """
    return build(model, compile_options(target, keywords), chosen_pipeline(keywords))


def load(path: str | Path) -> Program:
    """The program in a file. Raises: BinaryError where there is no readable program."""
    return container.load(path)


def save(program: Runnable, path: str | Path) -> None:
    """Write a program to a file, complete or not at all. Raises: UsageError, EncodingError."""
    container.save(_program(program), path)


def run(
    program: Runnable, inputs: Mapping[str, AnyArray], options: RunOptions | None = None
) -> Arrays:
    """The outputs by name of one run on the emulator, bit for bit those of the machine.

    Raises: InputError for inputs of wrong name, shape or type; ExecutionError where it traps.
    """
    return run_machine(_program(program), inputs, options).outputs


def verify(
    model: Model, target: str | Path = "edge", **keywords: Unpack[VerifyKeywords]
) -> VerifyReport:
    """Hold every level of a compilation, the binary on the emulator and ONNX against each other.

    Raises: as ``compile``; InputError for inputs that do not suit the model.
    """
    folder = keywords.get("reproduce")
    chosen = VerifyOptions(
        inputs=keywords.get("inputs"),
        seed=keywords.get("seed", VerifyOptions().seed),
        onnx=keywords.get("onnx", True),
        plugins=[Path(file) for file in keywords.get("load", ())],
        pipeline=keywords.get("pipeline", Pipeline()),
        bisect=keywords.get("bisect", False),
        reproduce=None if folder is None else Path(folder),
    )
    return verify_model(model, compile_options(target, keywords), chosen)


def profile(
    program: Runnable | bytes, target: str | Path | None = None, **keywords: Unpack[CompileKeywords]
) -> ProfileReport:
    """Where the cycles, bytes and energy of one run go; a model is compiled first.

    ``target`` None: the program's own, and ``edge`` for a model. Raises: as ``compile``.
    """
    if isinstance(program, bytes) or (
        isinstance(program, str | Path) and Path(program).suffix == ".onnx"
    ):
        return profile_program(program_of(compile(program, target or "edge", **keywords)))
    machine = None if target is None else load_target(str(target))
    return profile_program(_program(program), machine)


def plan(
    buffers: Sequence[Buffer] | str | Path,
    capacity: int | None = None,
    options: PlanOptions | None = None,
) -> Plan:
    """Addresses for buffers, or those of a CSV file, within ``capacity`` or as low as possible.

    The best plan found, though it may be too high: see ``Plan.fits``. Raises: InputError.
    """
    given = load_buffers(Path(buffers)) if isinstance(buffers, str | Path) else buffers
    return plan_buffers(given, capacity, options)


def _program(program: Runnable) -> Program:
    if isinstance(program, CompileResult):
        return program_of(program)
    return program if isinstance(program, Program) else load(program)


def compile_options(
    target: str | Path, keywords: CompileKeywords | VerifyKeywords
) -> CompileOptions:
    """The options of a compilation from a target and keywords. Raises: UsageError."""
    schedule = keywords.get("schedule")
    defaults = CompileOptions()
    return CompileOptions(
        target=str(target),
        level=keywords.get("level", defaults.level),
        dims=keywords.get("dims", {}),
        shapes=keywords.get("shapes", {}),
        precision=keywords.get("precision", defaults.precision),
        schedule=None if schedule is None else Path(schedule),
        cores=keywords.get("cores"),
        stop_after=keywords.get("stop_after"),
        print_after=keywords.get("print_after", ()),
    )


def chosen_pipeline(keywords: CompileKeywords | VerifyKeywords) -> Pipeline:
    """The pipeline that keywords ask for, with their plug-ins. Raises: UsageError."""
    files = [Path(file) for file in keywords.get("load", ())]
    return extended(keywords.get("pipeline", Pipeline()), files)
