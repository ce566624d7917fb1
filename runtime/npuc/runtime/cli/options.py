"""Options that several commands share, and what they become.

The annotations are written once, so that an option reads the same in every ``--help``.
"""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

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
        min=0,
        max=3,
        help="Optimisation level; never changes a bit of the result.",
    ),
]
DimsOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--dim",
        metavar="NAME=SIZE",
        help="Bind a symbolic dimension; repeatable.",
        default_factory=list,
    ),
]
ShapesOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--shape",
        metavar="INPUT=AxBxC",
        help="Bind the shape of an input; repeatable.",
        default_factory=list,
    ),
]
ScheduleOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--schedule", metavar="S.json", help="Replay the decisions of this file."),
]
LoadOption: TypeAlias = Annotated[
    list[Path],
    typer.Option(
        "--load", metavar="FILE.py", help="Load a plug-in first; repeatable.", default_factory=list
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
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of tables.")
]
