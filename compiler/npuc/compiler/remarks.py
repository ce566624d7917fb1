"""Remarks: what each pass did, or did not do, to which ONNX node, why, and what it cost.

The command line, the report and tests read this one stream.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from npuc.isa.errors import BinaryError

LAYER_CYCLES = "estimated_layer_cycles"  # figure: the closed form, all steps of a group


class RemarkKind(StrEnum):
    """``applied``: a rewrite happened; ``missed``: it declined, and why; ``note``: a fact."""

    applied = "applied"
    missed = "missed"
    note = "note"


@dataclass(frozen=True)
class Remark:
    """One statement of one pass. ``figures`` are named numbers, units in the names.

    ``group`` names the tile group that it is about, where it is about one.
    """

    source: str
    kind: RemarkKind
    message: str
    nodes: tuple[str, ...] = ()
    figures: tuple[tuple[str, float], ...] = ()
    group: str = ""

    def __str__(self) -> str:
        where = f" {', '.join(self.nodes)}:" if self.nodes else ""
        figures = "".join(f" {name}={_number(value)}" for name, value in self.figures)
        return f"{self.source}: {self.kind}:{where} {self.message}{figures}"

    def to_json(self) -> dict[str, object]:
        """The remark as plain data."""
        return {
            "source": self.source,
            "kind": str(self.kind),
            "message": self.message,
            "nodes": list(self.nodes),
            "figures": dict(self.figures),
            **({"group": self.group} if self.group else {}),
        }


def _number(value: float) -> str:
    """Whole numbers with all their digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


@dataclass
class Remarks:
    """The stream of remarks of one compilation, in the order in which they were made."""

    entries: list[Remark] = field(default_factory=list)

    def add(
        self,
        source: str,
        kind: RemarkKind,
        message: str,
        nodes: tuple[str, ...] = (),
        **figures: float,
    ) -> None:
        """Append one remark; ``source`` is the name of a pass or stage."""
        self.entries.append(Remark(source, kind, message, nodes, tuple(figures.items())))

    def applied(
        self, source: str, message: str, nodes: tuple[str, ...] = (), **figures: float
    ) -> None:
        """A rewrite happened."""
        self.add(source, RemarkKind.applied, message, nodes, **figures)

    def missed(
        self, source: str, message: str, nodes: tuple[str, ...] = (), **figures: float
    ) -> None:
        """A rewrite that looked possible declined, and why."""
        self.add(source, RemarkKind.missed, message, nodes, **figures)

    def note(
        self, source: str, message: str, nodes: tuple[str, ...] = (), **figures: float
    ) -> None:
        """A fact that a reader of the report wants."""
        self.add(source, RemarkKind.note, message, nodes, **figures)

    def expect(self, source: str, group: str, nodes: tuple[str, ...], **figures: float) -> None:
        """What is expected of a whole tile group, beside which the run can be laid."""
        entry = Remark(
            source, RemarkKind.note, "expected of the layer", nodes, tuple(figures.items()), group
        )
        self.entries.append(entry)

    def of(self, source: str, kind: RemarkKind | None = None) -> tuple[Remark, ...]:
        """The remarks of one pass, perhaps of one kind."""
        return tuple(r for r in self.entries if r.source == source and kind in (None, r.kind))

    def __iter__(self) -> Iterator[Remark]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def remarks_json(remarks: Iterable[Remark]) -> str:
    """The stream as JSON text, one remark a line: what a program file keeps."""
    return "[" + ",\n".join(json.dumps(remark.to_json()) for remark in remarks) + "]"


def parse_remarks(text: str, origin: str) -> tuple[Remark, ...]:
    """The remarks of ``remarks_json``. Raises: BinaryError naming ``origin`` for other text."""
    try:
        return tuple(
            Remark(
                str(entry["source"]),
                RemarkKind(entry["kind"]),
                str(entry["message"]),
                tuple(map(str, entry["nodes"])),
                tuple((str(name), float(value)) for name, value in entry["figures"].items()),
                str(entry.get("group", "")),
            )
            for entry in json.loads(text)
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BinaryError(
            "the remarks of the program are damaged",
            where=origin,
            given=f"{type(error).__name__}: {error}",
            next_step="compile the model again",
        ) from error


def counts_by_kind(remarks: Remarks) -> Mapping[str, int]:
    """How many remarks of each kind there are."""
    return {str(kind): sum(r.kind is kind for r in remarks) for kind in RemarkKind}
