"""Two measurements of a model against each other: which layer drifted, by how much, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from npuc.isa.errors import UsageError
from npuc.runtime.measuring import LayerFigures, Measurement

WHOLE = "the whole model"
NAMED_LAYERS = 3
QUANTITIES = ("cycles", "bytes", "bits")
_FIELDS = {"cycles": "cycles", "bytes": "dram_bytes"}


@dataclass(frozen=True)
class Drift:
    """One figure that changed. ``layer`` is WHOLE for the sum; bits have no numbers.

    ``is_own``: the layer itself works differently. Else its wall cycles moved because layers beside
    it overlap with it differently, which alone is no regression.
    """

    layer: str
    quantity: str
    before: int = 0
    after: int = 0
    cause: str = ""
    is_own: bool = True

    @property
    def change(self) -> float:
        """Relative change: 0.03 is 3 % more; a figure that was 0 changes without bound."""
        if self.before == 0:
            return float("inf") if self.after else 0.0
        return self.after / self.before - 1

    def __str__(self) -> str:
        """The drift in one line."""
        cause = f": {self.cause}" if self.cause else ""
        if self.quantity == "bits":
            return f"{self.layer}: other bits{cause}"
        numbers = f"{self.before:,} -> {self.after:,} {self.quantity}"
        percent = f" ({self.change:+.1%})" if self.before else ""
        return f"{self.layer}: {numbers}{percent}{cause}"

    def to_json(self) -> dict[str, object]:
        """The drift as plain data."""
        return {
            "layer": self.layer,
            "quantity": self.quantity,
            "before": self.before,
            "after": self.after,
            "cause": self.cause,
        }


def parse_share(text: str) -> float:
    """``1%`` as 0.01. Raises: UsageError for anything but a percentage from 0 up."""
    number = text.removesuffix("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = -1.0
    if number == text or not 0 <= share < float("inf"):
        raise UsageError(
            "a share is not understood", given=text, allowed="a percentage, for example 1% or 0.5%"
        )
    return share


def drifts(before: Measurement, after: Measurement, quantity: str) -> Iterator[Drift]:
    """Every change of ``quantity`` from ``before`` to ``after``: the sum first, then by layer."""
    if quantity == "bits":
        yield from _bits(before, after)
        return
    name = _FIELDS[quantity]
    sums = int(getattr(before, name)), int(getattr(after, name))
    if sums[0] != sums[1]:
        yield Drift(WHOLE, quantity, *sums, _whole_cause(before, after))
    for layer in dict.fromkeys((*before.layers, *after.layers)):
        was, now = before.layers.get(layer), after.layers.get(layer)
        numbers = (int(getattr(was, name, 0)), int(getattr(now, name, 0)))
        if numbers[0] != numbers[1]:
            yield Drift(layer, quantity, *numbers, _cause(was, now), _works_differently(was, now))


def worst_first(found: Iterator[Drift]) -> list[Drift]:
    """Drifts by how much they add, the largest growth first."""
    return sorted(found, key=lambda drift: drift.before - drift.after)


def _whole_cause(before: Measurement, after: Measurement) -> str:
    """The machine, or the layers that work differently: the first few by name."""
    if before.machine != after.machine:
        return "the target has changed"
    changed = [
        layer
        for layer in dict.fromkeys((*before.layers, *after.layers))
        if _works_differently(before.layers.get(layer), after.layers.get(layer))
    ]
    if not changed:
        return "the same work in every layer, only its order or waits differ"
    rest = f" and {len(changed) - NAMED_LAYERS} more" if len(changed) > NAMED_LAYERS else ""
    return f"other work in {', '.join(changed[:NAMED_LAYERS])}{rest}"


def _cause(was: LayerFigures | None, now: LayerFigures | None) -> str:
    """What changed about the layer that explains its figures, the decisive facts first."""
    if was is None or now is None:
        return "the layer is new" if was is None else "the layer is gone"
    parts = []
    if was.tiling != now.tiling:
        parts.append(f"its tiling changed from [{was.tiling}] to [{now.tiling}]")
    if was.dram_bytes != now.dram_bytes:
        parts.append(f"DRAM bytes {was.dram_bytes:,} -> {now.dram_bytes:,}")
    parts += _largest("{} busy", was.busy, now.busy)
    parts += _largest("waiting for {}", was.stalls, now.stalls)
    if was.bound_by != now.bound_by:
        parts.append(f"bound by {now.bound_by} instead of {was.bound_by}")
    if not _works_differently(was, now):
        parts.append("its own work is the same, layers beside it overlap with it differently")
    return "; ".join(parts)


def _works_differently(was: LayerFigures | None, now: LayerFigures | None) -> bool:
    if was is None or now is None:
        return True
    facts = [(f.tiling, f.dram_bytes, f.busy) for f in (was, now)]
    return facts[0] != facts[1]


def _largest(text: str, was: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """The entry that changed most, as text; none where all are equal."""
    names = dict.fromkeys((*was, *now))
    changes = {name: now.get(name, 0) - was.get(name, 0) for name in names}
    most = max(changes, key=lambda name: abs(changes[name]), default=None)
    if most is None or not changes[most]:
        return []
    return [f"{text.format(most)} {changes[most]:+,} cycles"]


def _bits(before: Measurement, after: Measurement) -> Iterator[Drift]:
    """The first tensor with other bits, and every one that came or went."""
    for name in dict.fromkeys((*before.bits, *after.bits)):
        was, now = before.bits.get(name), after.bits.get(name)
        if was is None or now is None:
            yield Drift(name, "bits", cause="the tensor is new" if was is None else "it is gone")
        elif was != now:
            cause = "the first of the graph; what comes before it has the same bits"
            yield Drift(name, "bits", cause=cause)
            return
