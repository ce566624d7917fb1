"""Files of buffers in and out, and a plan told in words: for ``npuc plan`` and ``api.plan``."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from npuc.compiler.planning.buffers import Buffer
from npuc.compiler.planning.csv_files import buffers_text, parse_buffers
from npuc.compiler.planning.plan import Plan
from npuc.compiler.planning.spill import fullest
from npuc.runtime.files import read_text, write_text

LARGEST_SHOWN = 8


def load_buffers(path: Path) -> tuple[Buffer, ...]:
    """The buffers of a CSV file. Raises: InputError naming each malformed row; OSError."""
    return parse_buffers(read_text(path), str(path))


def save_plan(path: Path, buffers: Sequence[Buffer], found: Plan) -> None:
    """Write ``buffers`` with their offsets as CSV, complete or not at all."""
    write_text(path, buffers_text(buffers, found.offsets))


def plan_json(buffers: Sequence[Buffer], found: Plan) -> dict[str, object]:
    """The plan and what it is worth, as JSON values."""
    return {
        "fits": found.fits,
        "capacity_bytes": found.capacity_bytes,
        "peak_bytes": found.peak_bytes,
        "lower_bound_bytes": found.lower_bound_bytes,
        "gap": found.gap,
        "proven": found.proven,
        "impossible": found.impossible,
        "stats": asdict(found.stats),
        "fullest": [buffer.id for buffer in fullest(buffers)[2]],
        "offsets": found.offsets,
    }


def plan_lines(buffers: Sequence[Buffer], found: Plan) -> list[str]:
    """The plan in words; where it does not fit, what makes the bound."""
    stats = found.stats
    proof = "no plan is lower" if found.proven else f"{found.gap:.2%} above it"
    peak, bound = found.peak_bytes, found.lower_bound_bytes
    lines = [
        f"{len(buffers)} buffers: peak {peak:,} bytes, lower bound {bound:,}, {proof}",
        f"by {stats.method}, {stats.nodes:,} candidates tried",
    ]
    if found.fits:
        return lines
    reason = "no plan can fit" if found.impossible else "no plan was found that fits"
    lines.append(f"{reason} into {found.capacity_bytes:,} bytes")
    bound, time, live = fullest(buffers)
    largest = sorted(live, key=lambda b: (-b.size_bytes, b.id))
    shown = ", ".join(f"{b.id} ({b.size_bytes:,})" for b in largest[:LARGEST_SHOWN])
    more = len(largest) - LARGEST_SHOWN
    lines.append(f"fullest at time {time}, {bound:,} bytes: {shown}")
    return [*lines, f"and {more} smaller ones"] if more > 0 else lines
