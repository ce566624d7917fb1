"""Targets: every number of a machine, read from one TOML file into a frozen dataclass.

A target is always an argument, never a global. Rates are per cycle at the core clock.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import TypeVar, get_type_hints

from npuc.isa.errors import TargetError
from npuc.isa.hashing import keeps_hash
from npuc.isa.microops import BY_NAME

T = TypeVar("T")
DATAFLOWS = ("ws", "os", "is")
EXTENSIONS = {
    "F": "fp16, bf16 and fp32 matrix",
    "E": "fp8 and MX block formats",
    "Q": "int4 and int2 weights with group scale and zero point",
    "S": "2:4 sparse weights",
    "Z": "compressed weight streams",
    "L": "links between chips",
}
# What the table of energies may price, and what one event is.
ENERGY_EVENTS = {
    "mac_i8": "one int8 multiply-accumulate of the matrix engine",
    "mac_bf16": "one bf16 or fp16 multiply-accumulate",
    "mac_fp32": "one fp32 multiply-accumulate",
    "vpu_lane_op": "one unit of micro-op cost at one point",
    "spm_byte": "one byte read from or written to the scratchpad",
    "acc_byte": "one byte read from or written to the accumulators",
    "dram_byte": "one byte that passes the DRAM's pins, whole bursts",
    "leakage_cycle": "one cycle of one core, busy or not",
}
_NAME_LINE = re.compile(r"""^name\s*=\s*(["'])(?P<name>[^"']*)\1""", re.MULTILINE)


def bounded(low: float, high: float, *, power_of_two: bool = False) -> dict[str, object]:
    """Metadata of a numeric field: its inclusive range."""
    return {"low": low, "high": high, "power_of_two": power_of_two}


@dataclass(frozen=True)
class Mxu:
    """The matrix engine: ``rows`` lie along K, ``cols`` along N; int8 MACs per cycle."""

    rows: int = field(metadata=bounded(1, 1024))
    cols: int = field(metadata=bounded(1, 1024))
    dataflow: str = field(metadata={"one_of": DATAFLOWS})
    mac_rate_bf16: float = field(metadata=bounded(1 / 64, 1))
    mac_rate_fp32: float = field(metadata=bounded(1 / 64, 1))
    weight_rows_per_cycle: float = field(metadata=bounded(1 / 64, 1024))
    transposed_rows_per_cycle: float = field(metadata=bounded(1 / 64, 1024))
    weight_double_buffer: bool
    fold_overlap: bool

    @property
    def macs_per_cycle(self) -> int:
        """Peak int8 multiply-accumulates per cycle."""
        return self.rows * self.cols


@dataclass(frozen=True)
class Spm:
    """The scratchpad of one core: byte addressed, word-interleaved banks."""

    capacity_bytes: int = field(metadata=bounded(1 << 10, 1 << 30))
    banks: int = field(metadata=bounded(1, 256, power_of_two=True))
    bank_width_bytes: int = field(metadata=bounded(4, 1024, power_of_two=True))


@dataclass(frozen=True)
class Acc:
    """The accumulator memory of one core: 32-bit words, byte addressed, banked."""

    capacity_bytes: int = field(metadata=bounded(1 << 8, 1 << 28))
    banks: int = field(metadata=bounded(1, 256, power_of_two=True))


@dataclass(frozen=True)
class Vpu:
    """The vector engine: lanes of 32 bit; ``op_cost`` lists micro-ops that cost more than 1."""

    lanes: int = field(metadata=bounded(1, 4096))
    chain_depth: int = field(metadata=bounded(1, 64))
    startup_cycles: int = field(metadata=bounded(0, 10000))
    mac8_lane_factor: int = field(metadata=bounded(1, 16))
    op_cost: tuple[tuple[str, int], ...]

    def cost_of(self, micro_op: str) -> int:
        """Lane-cycles of one micro-op; 1 unless the target says more."""
        return dict(self.op_cost).get(micro_op, 1)


@dataclass(frozen=True)
class Dram:
    """DRAM of the chip; ``efficiency`` is what refresh leaves of the peak rate."""

    bytes_per_cycle: float = field(metadata=bounded(0.01, 1e6))
    latency_cycles: int = field(metadata=bounded(0, 100000))
    burst_bytes: int = field(metadata=bounded(1, 4096, power_of_two=True))
    efficiency: float = field(metadata=bounded(0.01, 1))


@dataclass(frozen=True)
class Dma:
    """DMA channels are a rate shared by all transfers of a core."""

    channels: int = field(metadata=bounded(1, 64))
    setup_cycles: int = field(metadata=bounded(0, 100000))
    outstanding_bursts: int = field(metadata=bounded(1, 65536))


@dataclass(frozen=True)
class Ctl:
    """The control processor: depth of each engine's queue, cycles per dispatched command."""

    queue_depth: int = field(metadata=bounded(1, 4096))
    dispatch_cycles: int = field(metadata=bounded(1, 1000))


@dataclass(frozen=True)
class EnergyRow:
    """Energy of one kind of event, with its provenance."""

    event: str
    femtojoules: float = field(metadata=bounded(0, 1e12))
    source: str
    node: str
    confidence: str


@keeps_hash
@dataclass(frozen=True)
class Target:
    """One machine. Hashable: plans and timings are memoised by it."""

    name: str
    description: str
    extensions: tuple[str, ...]
    cores: int = field(metadata=bounded(1, 16))
    clock_mhz: int = field(metadata=bounded(1, 100000))
    mxu: Mxu
    spm: Spm
    acc: Acc
    vpu: Vpu
    dram: Dram
    dma: Dma
    ctl: Ctl
    energy: tuple[EnergyRow, ...] = ()  # without a table a run is timed and no energy stated

    def energy_fj(self, event: str) -> float | None:
        """Femtojoules of one ``event``; None where the table has no row for it."""
        return next((row.femtojoules for row in self.energy if row.event == event), None)


def builtin_target_names() -> tuple[str, ...]:
    """Names of the targets that ship with npuc, sorted."""
    folder = resources.files("npuc.isa").joinpath("targets")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def load_target(name_or_path: str) -> Target:
    """The target called ``name_or_path``, or read from that ``.toml`` file.

    Raises: TargetError naming file, key, value and range.
    """
    return parse_target(target_text(name_or_path), name_or_path)


def target_text(name_or_path: str) -> str:
    """The TOML text of a target by name or path. Raises: TargetError when there is none.

    A file that bears the name of one of npuc's machines without being its copy is named after the
    file instead, so that nothing shows two machines under one name.
    """
    text = target_file_text(name_or_path)
    found = _NAME_LINE.search(text.split("\n[")[0])
    if name_or_path in builtin_target_names() or found is None:
        return text
    name = found["name"]
    if name not in builtin_target_names() or target_file_text(name) == text:
        return text
    by_file = f"name = {json.dumps(Path(name_or_path).name, ensure_ascii=False)}"
    return text[: found.start()] + by_file + text[found.end() :]


def target_file_text(name_or_path: str) -> str:
    """The text of a target's file as it stands. Raises: TargetError when there is none."""
    if name_or_path in builtin_target_names():
        file = resources.files("npuc.isa").joinpath("targets", f"{name_or_path}.toml")
        return file.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise TargetError(
            "unknown target",
            given=name_or_path,
            allowed=", ".join(builtin_target_names()) + ", or a path that ends in .toml",
            next_step="npuc targets lists them; copy one with npuc targets --show NAME",
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(
            "cannot read the target file",
            where=str(path),
            given=str(error),
            next_step="check the path",
        ) from error


def parse_target(text: str, origin: str) -> Target:
    """The target that TOML ``text`` describes; ``origin`` names it in messages.

    Raises: TargetError for syntax, unknown or missing keys, wrong types and impossible values.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOML syntax, numbers or nesting beyond use
        raise TargetError(
            "the target file is not TOML",
            where=origin,
            given=str(error),
            next_step="mend the target file",
        ) from error
    target = _build(Target, table, _Place(origin, ""))
    _check_machine(target, origin)
    return target


@dataclass(frozen=True)
class _Place:
    origin: str
    path: str

    def key(self, name: str) -> "_Place":
        return _Place(self.origin, f"{self.path}.{name}" if self.path else name)

    def error(self, what: str, given: object = "", allowed: object = "") -> TargetError:
        return TargetError(
            what,
            f"{self.origin}, key {self.path or '(top)'}",
            str(given),
            str(allowed),
            "mend the target file",
        )


def _build(cls: type[T], table: object, place: _Place) -> T:
    if not isinstance(table, dict):
        raise place.error("expected a table", table)
    assert is_dataclass(cls)
    names = [f.name for f in fields(cls)]
    for name in table:
        if name not in names:
            raise place.key(name).error("unknown key", name, ", ".join(names))
    hints = get_type_hints(cls)
    values: dict[str, object] = {}
    for f in fields(cls):
        here = place.key(f.name)
        if f.name not in table and f.default is not MISSING:
            continue
        if f.name not in table:
            raise here.error("missing key", "nothing", _type_name(hints[f.name]))
        values[f.name] = _value(hints[f.name], table[f.name], f.metadata, here)
    return cls(**values)


def _value(hint: object, given: object, limits: Mapping[str, object], place: _Place) -> object:
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(hint, given, place)
    if hint == tuple[EnergyRow, ...]:
        return tuple(
            _build(EnergyRow, row, _Place(place.origin, f"{place.path}[{i}]"))
            for i, row in enumerate(_list(given, place))
        )
    if hint == tuple[str, ...]:
        return tuple(_scalar(str, item, {}, place) for item in _list(given, place))
    if hint == tuple[tuple[str, int], ...]:
        if not isinstance(given, dict):
            raise place.error("expected a table of integers", given)
        return tuple(
            (key, _scalar(int, cost, bounded(1, 1000), place.key(key)))
            for key, cost in sorted(given.items())
        )
    return _scalar(hint, given, limits, place)


def _list(given: object, place: _Place) -> list[object]:
    if not isinstance(given, list):
        raise place.error("expected a list", given)
    return given


def _scalar(hint: object, given: object, limits: Mapping[str, object], place: _Place) -> object:
    if hint is float and isinstance(given, int) and not isinstance(given, bool):
        given = float(given)
    if type(given) is not hint:
        raise place.error("wrong type", repr(given), _type_name(hint))
    if "one_of" in limits and given not in tuple(limits["one_of"]):  # type: ignore[arg-type]
        raise place.error("value not allowed", given, limits["one_of"])
    if "low" in limits:
        _check_range(given, limits, place)
    return given


def _check_range(given: object, limits: Mapping[str, object], place: _Place) -> None:
    assert isinstance(given, int | float)
    low, high = limits["low"], limits["high"]
    assert isinstance(low, int | float) and isinstance(high, int | float)
    if not low <= given <= high:  # also refuses NaN
        raise place.error("value out of range", given, f"{low} to {high}")
    if limits["power_of_two"] and int(given) & (int(given) - 1):
        raise place.error("value is not a power of two", given, f"powers of two, {low} to {high}")


def _type_name(hint: object) -> str:
    return getattr(hint, "__name__", str(hint))


def _check_machine(target: Target, origin: str) -> None:
    place = _Place(origin, "")
    for letter in target.extensions:
        if letter not in EXTENSIONS:
            raise place.key("extensions").error("unknown extension", letter, ", ".join(EXTENSIONS))
    for name, _ in target.vpu.op_cost:
        if name not in BY_NAME:
            raise place.key("vpu.op_cost").error("unknown micro-op", name, ", ".join(BY_NAME))
    _check_energy(target, place)
    word_row = 4 * target.mxu.cols
    if target.acc.capacity_bytes < word_row:
        raise place.key("acc.capacity_bytes").error(
            "the accumulator cannot hold one output row of the array",
            target.acc.capacity_bytes,
            f"at least {word_row} bytes (4 x mxu.cols)",
        )
    if target.spm.capacity_bytes % (target.spm.banks * target.spm.bank_width_bytes):
        raise place.key("spm.capacity_bytes").error(
            "the scratchpad is not a whole number of bank rows",
            target.spm.capacity_bytes,
            f"a multiple of {target.spm.banks * target.spm.bank_width_bytes}",
        )


def _check_energy(target: Target, place: _Place) -> None:
    seen: set[str] = set()
    for i, row in enumerate(target.energy):
        here = place.key(f"energy[{i}].event")
        if row.event not in ENERGY_EVENTS:
            raise here.error("unknown energy event", row.event, ", ".join(ENERGY_EVENTS))
        if row.event in seen:
            raise here.error("an energy event is priced twice", row.event, "one row each")
        seen.add(row.event)
