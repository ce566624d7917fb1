"""The whole definition as plain data, for programs that are not Python: ``npuc isa --json``.

``definition()`` holds lists, dicts, texts and numbers only. ``SCHEMA`` is the version of its form:
a new major changes or drops a key, a new minor adds keys. Sections whose content has a place of
its own (targets, accuracy) are here too, so that one document is enough.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Any

from npuc.isa.container.schema import DESCRIPTORS, VERSION, schema_hash
from npuc.isa.descriptors import Kernel, Params, Segment, Space, Table, TensorMap, View, Window
from npuc.isa.descriptors.layout import Row
from npuc.isa.dtypes import DType
from npuc.isa.encoding import INCREMENT_BIT, WAIT_BITS
from npuc.isa.instructions import INSTRUCTION_BYTES, INSTRUCTIONS, NO_INDEX, Command, Engine
from npuc.isa.instructions.base import (
    COUNTERS_PER_ENGINE,
    MAX_LOOP_DEPTH,
    OPERAND_START,
    REGISTERS,
    Field,
    Instruction,
    Kind,
)
from npuc.isa.instructions.maps import MAP_REGISTERS
from npuc.isa.microops import MICRO_OPS, MicroOp
from npuc.isa.numerics.accuracy import BOUNDS_ULP, measured
from npuc.isa.numerics.partial import RESUMABLE
from npuc.isa.target import (
    ENERGY_EVENTS,
    EXTENSIONS,
    EnergyRow,
    Target,
    builtin_target_names,
    load_target,
)

SCHEMA = (1, 0)
Facts = dict[str, Any]
# Fields of a wait, from its lowest bit: (name, width, whether it is signed).
WAIT_FIELDS = (
    ("immediate", 15, True),
    ("register", 5, False),
    ("counter_index", 5, False),
    ("counter_engine", 3, False),
    ("counter_core", 4, False),
)
_TABLES = {
    Kind.view: "view",
    Kind.map: "tensor map",
    Kind.kernel: "kernel",
    Kind.params: "parameters",
}
_DESCRIPTOR_CLASSES: Mapping[str, tuple[type, ...]] = {
    "view": (View, Window),
    "tensor map": (TensorMap,),
    "kernel": (Kernel,),
    "parameters": (Params,),
    "table": (Table,),
}
_CODE = re.compile(r"([0-9]*)([a-zA-Z])")
_TYPES = {"B": "u8", "h": "i16", "I": "u32", "i": "i32", "Q": "u64", "q": "i64", "x": "zero"}
# End of a field's name -> its unit.
_UNITS = {
    "rows_per_cycle": "weight rows per cycle",
    "bytes_per_cycle": "bytes per core cycle",
    "_bytes": "bytes",
    "_cycles": "core cycles",
    "_mhz": "MHz",
    "femtojoules": "fJ",
    "mac_rate_bf16": "MACs per int8 MAC",
    "mac_rate_fp32": "MACs per int8 MAC",
    "op_cost": "lane-cycles by micro-op",
    "efficiency": "share of the peak rate",
    "lanes": "32-bit lanes",
    "outstanding_bursts": "bursts",
    "queue_depth": "commands",
    "chain_depth": "micro-ops",
}


def definition() -> Facts:
    """Everything; the same document for the same source."""
    return {
        "schema": {"name": "npuc-isa", "version": list(SCHEMA)},
        "format": {"version": list(VERSION), "fingerprint": schema_hash().hex()},
        "limits": {
            "registers": REGISTERS,
            "map_registers": MAP_REGISTERS,
            "counters_per_engine": COUNTERS_PER_ENGINE,
            "loop_depth": MAX_LOOP_DEPTH,
            "no_index": NO_INDEX,
        },
        "encoding": _encoding(),
        "engines": _codes(Engine),
        "dtypes": [_dtype(dtype) for dtype in DType],
        "spaces": _codes(Space),
        "segments": _codes(Segment),
        "extensions": dict(EXTENSIONS),
        "instructions": [_instruction(cls) for cls in INSTRUCTIONS],
        "micro_ops": [_micro_op(op) for op in MICRO_OPS],
        "descriptors": [_descriptor(name) for name in DESCRIPTORS],
        "energy_events": dict(ENERGY_EVENTS),
        "targets": {
            "fields": [*_target_fields(Target, "")],
            "machines": [asdict(load_target(name)) for name in builtin_target_names()],
        },
    }


def _encoding() -> Facts:
    first, fields_of_wait = 0, []
    for name, width, is_signed in WAIT_FIELDS:
        fields_of_wait.append({"name": name, "bit": first, "width": width, "signed": is_signed})
        first += width
    return {
        "instruction_bytes": INSTRUCTION_BYTES,
        "byte_order": "little",
        "opcode": {"bit": 0, "width": 8},
        "increment": {"bit": INCREMENT_BIT, "width": 5, "present_bit": INCREMENT_BIT + 5},
        "waits": {"bits": list(WAIT_BITS), "width": 32, "fields": fields_of_wait},
        "operands": {"bit": OPERAND_START},
    }


def _codes(members: type[Enum]) -> list[Facts]:
    return [{"name": member.name, "code": member.value} for member in members]


def _dtype(dtype: DType) -> Facts:
    domain = "f" if dtype.is_float else "i"
    return {"name": dtype.name, "code": dtype.value, "bytes": dtype.bytes, "domain": domain}


def _instruction(cls: type[Instruction]) -> Facts:
    defaults = {f.name: f.default for f in fields(cls)}
    return {
        "mnemonic": cls.mnemonic,
        "opcode": cls.opcode,
        "is_command": issubclass(cls, Command),
        "extension": cls.extension,
        "text": documentation(cls),
        "meaning": cls.meaning,
        "fields": [_field(name, spec, start, defaults[name]) for name, spec, start in cls.layout()],
    }


def _field(name: str, spec: Field, start: int, default: object) -> Facts:
    low, high = spec.limits
    facts: Facts = {
        "name": name,
        "kind": spec.kind.name,
        "bit": start,
        "width": spec.width,
        "signed": spec.is_signed,
        "low": low,
        "high": high,
        "default": default,
        "named": spec.named,
    }
    if spec.choices:
        facts["choices"] = list(spec.choices)
    if spec.kind in _TABLES:
        facts["descriptor"] = _TABLES[spec.kind]
    return facts


def _micro_op(op: MicroOp) -> Facts:
    facts: Facts = {
        "name": op.name,
        "code": op.code,
        "operands": list(op.operands),
        "result": op.result,
        "is_reduction": op.is_reduction,
        "is_resumable": op.name in RESUMABLE,
        "text": meaning_text(op),
        "costs": {name: load_target(name).vpu.cost_of(op.name) for name in builtin_target_names()},
    }
    if op.extra:
        facts["immediate"] = {"is": op.extra, "values": _values(op.immediates)}
    if op.name in BOUNDS_ULP:
        facts["bound_ulp"] = BOUNDS_ULP[op.name]
        facts["measured"] = asdict(measured()[op.name]) if op.name in measured() else None
    return facts


def _values(numbers: Sequence[int]) -> Facts:
    if isinstance(numbers, range):
        return {"from": numbers.start, "to": numbers.stop - 1}
    return {"list": list(numbers)}


def meaning_text(op: MicroOp) -> str:
    """The first paragraph about the function that gives the micro-op its meaning."""
    meaning, arguments = op.meaning, ""
    if isinstance(meaning, partial):
        arguments = f" ({', '.join(f'{k}: {v}' for k, v in meaning.keywords.items())})"
        meaning = meaning.func
    first = inspect.cleandoc(meaning.__doc__ or "").split("\n\n")[0]
    return first.replace("\n", " ") + arguments


def documentation(cls: type) -> str:
    """The docstring of ``cls``, then those of its bases that tell of shared operands."""
    told = [c for c in cls.__mro__ if c not in (Instruction, Command, object)]
    return "\n\n".join(inspect.cleandoc(c.__doc__ or "") for c in told)


def _descriptor(name: str) -> Facts:
    rows = [*layout(DESCRIPTORS[name])]
    texts = [documentation(cls) for cls in _DESCRIPTOR_CLASSES[name]]
    last = rows[-1]
    end = last["offset"] + last["bytes"] * last["count"]
    return {"name": name, "bytes": end, "text": "\n\n".join(texts), "rows": rows}


def layout(rows: Sequence[Row]) -> Iterator[Facts]:
    """Each row of a binary form: its offset, how often it stands there, its parts' types."""
    offset = 0
    for row in rows:
        codes = _CODE.sub(lambda match: match[2] * int(match[1] or 1), row.code)
        size = row.n_bytes // row.repeat
        yield {
            "name": row.name,
            "offset": offset,
            "bytes": size,
            "count": row.repeat,
            "types": [_TYPES[code] for code in codes],
        }
        offset += row.n_bytes


def _target_fields(cls: type, prefix: str) -> Iterator[Facts]:
    for f in fields(cls):
        path = prefix + f.name
        if isinstance(f.type, type) and is_dataclass(f.type):
            yield from _target_fields(f.type, f"{path}.")
        elif f.name == "energy":
            yield from _target_fields(EnergyRow, "energy[].")
        else:
            assert f.default is MISSING, "a target names every field"
            yield _target_field(path, f.type, f.metadata)


def _target_field(path: str, kind: object, limits: Mapping[str, Any]) -> Facts:
    shown = kind.__name__ if isinstance(kind, type) else str(kind)
    if "tuple" in str(kind):
        shown = "list of text" if "tuple[str, ...]" in str(kind) else "table of integers"
    facts: Facts = {"path": path, "type": {"str": "text"}.get(shown, shown), "unit": unit_of(path)}
    if "low" in limits:
        facts |= {"low": limits["low"], "high": limits["high"]}
        facts["power_of_two"] = limits["power_of_two"]
    if "one_of" in limits:
        facts["one_of"] = list(limits["one_of"])
    if path == "energy[].event":
        facts["one_of"] = list(ENERGY_EVENTS)
    return facts


def unit_of(path: str) -> str:
    """The unit of a target's field, from the end of its name; empty for counts and texts."""
    return next((unit for end, unit in _UNITS.items() if path.endswith(end)), "")
