"""The page of targets: every number of every machine, with its unit and range."""

from collections.abc import Mapping
from typing import Any

from npuc.isa.manual.definition import definition
from npuc.isa.manual.markdown import page, table
from npuc.isa.target import ENERGY_EVENTS, EXTENSIONS, Target, builtin_target_names, load_target

_TARGETS = """
All numbers of a machine stand in its file `isa/npuc/isa/targets/NAME.toml`. Rates are per cycle of
the core clock.
"""


def targets_page() -> str:
    """The page."""
    targets = [load_target(name) for name in builtin_target_names()]
    rows = [
        (
            f"`{field['path']}`",
            field["unit"] or field["type"],
            _allowed(field),
            *(_shown(_at(target, field["path"])) for target in targets),
        )
        for field in definition()["targets"]["fields"]
        if field["path"] != "name" and not field["path"].startswith("energy")
    ]
    energy = [
        (t.name, f"`{r.event}`", f"{r.femtojoules:g}", r.source, r.node, r.confidence)
        for t in targets
        for r in t.energy
    ]
    columns = ("target", "event", "fJ", "source", "node", "confidence")
    events = [(f"`{name}`", what) for name, what in ENERGY_EVENTS.items()]
    names = (target.name for target in targets)
    parts = [_TARGETS, table(("field", "unit", "allowed", *names), rows)]
    parts += ["Extensions:", table(("letter", "adds"), EXTENSIONS.items())]
    parts += ["Events that a target may price, each once:", table(("event", "is"), events)]
    parts += ["Energy per event, in femtojoules:", table(columns, energy)]
    return page("Targets", parts)


def _allowed(field: Mapping[str, Any]) -> str:
    if "one_of" in field:
        return ", ".join(field["one_of"])
    if "low" not in field:
        return ""
    kind = "powers of two, " if field["power_of_two"] else ""
    return f"{kind}{field['low']:g} to {field['high']:g}"


def _at(target: Target, path: str) -> object:
    value: object = target
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(" ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
