"""What a compiled model costs and gives, as figures that can be stored and compared later.

Cycles and bytes are exact, so any change of them is a change of compiler, model or machine.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from npuc.compiler.interpreter import group_values
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Pipeline
from npuc.emulator.machine import run
from npuc.isa.program import Program
from npuc.runtime.arrays import AnyArray
from npuc.runtime.building import Model, program_of
from npuc.runtime.profiling import ProfileReport, profile_program
from npuc.runtime.random_inputs import DEFAULT_SEED, random_inputs
from npuc.runtime.verification.levels import Compilation, compile_watched

HASH_DIGITS = 16


@dataclass(frozen=True)
class LayerFigures:
    """One layer: its own wall cycles, DRAM bytes, and what explains them.

    ``busy`` cycles by engine, ``stalls`` by cause; ``tiling`` is the schedule's text of it.
    """

    cycles: int
    dram_bytes: int
    bound_by: str
    tiling: str = ""
    busy: Mapping[str, int] = field(default_factory=dict)
    stalls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """A model's figures: in all and by layer.

    ``machine`` is a digest of the target file. ``bits`` are digests of the values of every layer's
    tensor and of the outputs, in order, for seeded inputs; empty where nobody asked for them.
    """

    target: str
    machine: str
    cycles: int
    dram_bytes: int
    layers: Mapping[str, LayerFigures]
    bits: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The figures as plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Measurement":
        """The inverse of ``to_json``. Raises: TypeError, KeyError, ValueError for other data."""
        return Measurement(
            str(data["target"]),
            str(data["machine"]),
            int(data["cycles"]),
            int(data["dram_bytes"]),
            {str(name): LayerFigures(**given) for name, given in data["layers"].items()},
            {str(name): str(digest) for name, digest in data["bits"].items()},
        )


def measure(
    model: Model,
    options: CompileOptions,
    pipeline: Pipeline | None = None,
    *,
    with_bits: bool = False,
) -> Measurement:
    """Compile ``model`` and take its figures; values are computed only ``with_bits``.

    Raises: as ``build``; ExecutionError where the program traps.
    """
    compilation = compile_watched(model, options, pipeline or Pipeline())
    program = program_of(compilation.result)
    report = profile_program(program)
    return Measurement(
        report.timing.target.name,
        _digest(program.target_toml.encode()),
        report.cycles,
        report.timing.dram_read_bytes + report.timing.dram_written_bytes,
        _layers(report),
        _bits(compilation, program) if with_bits else {},
    )


def _layers(report: ProfileReport) -> dict[str, LayerFigures]:
    tilings = _tilings(report.program)
    return {
        row.group: LayerFigures(
            row.cycles,
            row.dram_bytes,
            row.bound_by,
            tilings.get(row.nodes, ""),
            dict(activity.busy),
            {cause: cycles for cause, cycles in activity.stalls.items() if cycles},
        )
        for row, activity in zip(report.layers, report.activities, strict=True)
    }


def _tilings(program: Program) -> dict[tuple[str, ...], str]:
    """The schedule's decision for each group, as text, by its nodes."""
    groups = json.loads(program.debug.schedule_json).get("groups", [])
    return {
        tuple(group["nodes"]): ", ".join(
            f"{key} {_compact(value)}"
            for key, value in group.items()
            if key not in ("nodes", "shape")
        )
        for group in groups
    }


def _compact(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_compact(part)}" for name, part in value.items())
    return ">".join(map(str, value)) if isinstance(value, list) else str(value)


def _bits(compilation: Compilation, program: Program) -> dict[str, str]:
    """Digests by tensor: of every group's result, then of what the emulator gives as outputs."""
    inputs = random_inputs(compilation.input_kinds(), DEFAULT_SEED)
    last = list(compilation.modules.values())[-1]
    inside = group_values(last, inputs, compilation.result.ctx.consts)
    outputs = run(program, inputs).outputs
    return {name: _array_digest(array) for name, array in {**inside, **outputs}.items()}


def _array_digest(array: AnyArray) -> str:
    return _digest(f"{array.dtype.name}".encode() + np.ascontiguousarray(array).tobytes())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
