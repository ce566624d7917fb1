"""Options that several commands share, and what they become.

The annotations are written once, so that an option reads the same in every ``--help``.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import typer

from npuc.compiler.options import PRECISIONS, CompileOptions, parse_dim, parse_shape
from npuc.isa.errors import UsageError

T = TypeVar("T")
DEFAULTS = CompileOptions()

ModelArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="MODEL.onnx", help="The ONNX model.", show_default=False)
]
ProgramArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="P.npu", help="A compiled program.", show_default=False)
]
TargetOption: TypeAlias = Annotated[
    str, typer.Option("--target", "-t", metavar="NAME|FILE.toml", help="The machine.")
]
LevelOption: TypeAlias = Annotated[
    int,
    typer.Option(
        "-O",
        metavar="0..3",
        help="Optimisation level; never changes a result. 3 times whole programs, which is slow.",
    ),
]
PrecisionOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="|".join(PRECISIONS),
        help="Of float products and of the tensors between layers; changes results.",
    ),
]
DimsOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--dim",
        metavar="NAME=SIZE",
        help="Bind a symbolic dimension; repeatable.",
        default_factory=list,
        show_default=False,
    ),
]
ShapesOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--shape",
        metavar="INPUT=AxBxC",
        help="Bind the shape of an input; repeatable.",
        default_factory=list,
        show_default=False,
    ),
]
CoresOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--cores", metavar="N", help="Cores that may share the work; all from -O2 on."),
]
ScheduleOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--schedule", metavar="S.json", help="Replay the decisions of this file."),
]
LoadOption: TypeAlias = Annotated[
    list[Path],
    typer.Option(
        "--load",
        metavar="FILE.py",
        help="Load a plug-in first; repeatable.",
        default_factory=list,
        show_default=False,
    ),
]
ConstsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--consts", metavar="C.npz", help="Constants of IR text; else those beside its file."
    ),
]
InputOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--input",
        "-i",
        metavar="I.npz",
        help="Named input arrays; seeded random ones that suit the types when left out.",
    ),
]
OutputOption: TypeAlias = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write the result.")
]
ProgramOutput: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", metavar="P.npu", help="The program file to write.")
]
TraceOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--trace", metavar="T.json", help="Write a trace that ui.perfetto.dev opens here."
    ),
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of tables.")
]


def target_files(*targets: str | None) -> list[Path]:
    """Those of the targets that are files, not names."""
    return [Path(target) for target in targets if target and target.endswith(".toml")]


def parse_dims(texts: Iterable[str]) -> dict[str, int]:
    """Sizes by name from ``NAME=SIZE``. Raises: UsageError for another form or two sizes."""
    return _bindings("--dim", texts, parse_dim)


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by input from ``INPUT=AxBxC``. Raises: UsageError for another form or two shapes."""
    return _bindings("--shape", texts, parse_shape)


def _bindings(
    option: str, texts: Iterable[str], parse: Callable[[str], tuple[str, T]]
) -> dict[str, T]:
    bound: dict[str, T] = {}
    for text in texts:
        name, value = parse(text)
        if bound.setdefault(name, value) != value:
            raise UsageError(
                f"{option} binds {name} twice",
                given=f"{bound[name]} and {value}",
                next_step=f"give {option} once for each name",
            )
    return bound
