"""``npuc objdump``: what a program file holds."""

from npuc.isa.container import load
from npuc.isa.program import Argument, Program
from npuc.runtime.cli.console import show_json, show_lines, show_table
from npuc.runtime.cli.options import JsonOption, ProgramArgument
from npuc.runtime.tables import Table


def command(program: ProgramArgument, as_json: JsonOption = False) -> None:
    """Show sizes, arguments and groups of ``program``."""
    loaded = load(program)
    if as_json:
        show_json(_contents(loaded))
        return
    title = f"{program}: {loaded.debug.model_name or 'program'} for {loaded.target.name}"
    show_table(Table(title, ("part", "count"), list(_sizes(loaded).items())))
    show_lines([""])
    show_table(_argument_table(loaded))
    show_lines([""])
    show_table(_group_table(loaded))


def _argument_table(program: Program) -> Table:
    rows = [
        (kind, a.name, a.dtype.name, "x".join(map(str, a.shape)), a.n_bytes)
        for kind, arguments in _arguments(program).items()
        for a in arguments
    ]
    return Table("arguments", ("kind", "name", "type", "shape", "bytes"), rows)


def _group_table(program: Program) -> Table:
    rows = [(s.core, s.start, s.stop, s.group, ", ".join(s.nodes)) for s in program.debug.sources]
    return Table("groups", ("core", "first", "end", "group", "nodes"), rows)


def _sizes(program: Program) -> dict[str, int]:
    return {
        "cores": len(program.code),
        "instructions": sum(len(code) for code in program.code),
        "views": len(program.views),
        "maps": len(program.maps),
        "kernels": len(program.kernels),
        "params": len(program.params),
        "constant bytes": int(program.constants.size),
        "scratch bytes": program.scratch_bytes,
    }


def _arguments(program: Program) -> dict[str, tuple[Argument, ...]]:
    return {"input": program.inputs, "output": program.outputs, "state": program.states}


def _contents(program: Program) -> dict[str, object]:
    return {
        "model": program.debug.model_name,
        "target": program.target.name,
        "extensions": list(program.extensions),
        "sizes": _sizes(program),
        "arguments": [
            {"kind": kind, "name": a.name, "dtype": a.dtype.name, "shape": list(a.shape)}
            for kind, arguments in _arguments(program).items()
            for a in arguments
        ],
        "groups": [
            {
                "core": s.core,
                "start": s.start,
                "stop": s.stop,
                "group": s.group,
                "nodes": list(s.nodes),
            }
            for s in program.debug.sources
        ],
    }
