"""Write the conformance vectors: ``python -m tests.conformance.make``; the format is a manual page.

Only the words of the instructions come from npuc (its assembler), and other tests hold those.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from npuc.isa.assembler import assemble
from npuc.runtime.verification.conformance import FORMAT, VERSION
from tests.conformance import commands, control, conversions, micro_ops
from tests.conformance.building import Tensor, Vector

FOLDER = Path(__file__).parent / "vectors"
EXACT = "exact fractions with one rounding a step, and Python integers (tests/conformance/exact.py)"
SUBJECTS: dict[str, tuple[str, str, Callable[[], list[Vector]]]] = {
    "control": ("scalar, flow, word and map instructions", "Python integers", control.cases),
    "commands": ("transfers, mma, vexec, vpart, scan, topk, sort, order", EXACT, commands.cases),
    "micro-ops": ("every micro-op on special and random operands",
                  f"{EXACT}; vector functions by the steps of the manual", micro_ops.cases),
    "conversions": ("streams on load and store, with explicit ties", f"{EXACT}; struct for f16",
                    conversions.cases),
}  # fmt: skip


def document(name: str) -> str:
    """The text of one file."""
    subject, origin, cases = SUBJECTS[name]
    vectors = cases()
    names = [vector.name for vector in vectors]
    assert len(set(names)) == len(names), "names are unique"
    head = {"format": FORMAT, "version": VERSION, "subject": subject, "origin": origin}
    rows = ",\n".join(json.dumps(_row(vector)) for vector in vectors)
    return json.dumps(head, indent=1)[:-2] + f',\n "cases": [\n{rows}\n]}}\n'


def _row(vector: Vector) -> dict[str, object]:
    code = assemble(vector.text, vector.name).code
    row: dict[str, object] = {
        "name": vector.name,
        "text": vector.text,
        "code": [[instruction.tobytes().hex() for instruction in core] for core in code],
        "inputs": _hex(vector.inputs),
    }
    if vector.states:
        row["states"] = _hex(vector.states)
    return row | ({"trap": vector.trap} if vector.trap else {"expected": _hex(vector.expected)})


def _hex(tensors: dict[str, Tensor]) -> dict[str, str]:
    return {name: tensor.raw.hex() for name, tensor in tensors.items()}


if __name__ == "__main__":
    for stem in SUBJECTS:
        FOLDER.joinpath(f"{stem}.json").write_text(document(stem), encoding="utf-8")
