"""Files of buffers in and out, and a plan told in words: for ``npuc plan`` and ``api.plan``."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from npuc.compiler.planning.banks import BankPlan
from npuc.compiler.planning.buffers import Buffer
from npuc.compiler.planning.csv_files import buffers_text, parse_buffers, parse_conflicts
from npuc.compiler.planning.plan import Plan
from npuc.compiler.planning.spill import fullest, suggest_spills
from npuc.runtime.files import read_text, write_text

LARGEST_SHOWN = 8


def load_buffers(path: Path) -> tuple[Buffer, ...]:
    """The buffers of a CSV file. Raises: InputError naming each malformed row; OSError."""
    return parse_buffers(read_text(path), str(path))


def load_conflicts(path: Path) -> dict[tuple[str, str], int]:
    """Cycles by pairs of ids, from a CSV file. Raises: InputError naming bad rows; OSError."""
    return parse_conflicts(read_text(path), str(path))


def save_bank_plan(path: Path, buffers: Sequence[Buffer], found: BankPlan) -> None:
    """Write ``buffers`` with bank and offset as CSV; those in no bank have neither."""
    offsets = {b: offset for plan in found.plans for b, offset in plan.offsets.items()}
    write_text(path, buffers_text(buffers, offsets, found.bank))


def bank_plan_json(found: BankPlan) -> dict[str, object]:
    """The banks and what is left of conflicts, as JSON values."""
    return {
        "fits": not found.striped,
        "conflict_cycles": found.conflict_cycles,
        "striped": list(found.striped),
        "peak_bytes": [plan.peak_bytes for plan in found.plans],
        "lower_bound_bytes": [plan.lower_bound_bytes for plan in found.plans],
        "bank": found.bank,
        "offsets": [plan.offsets for plan in found.plans],
    }


def bank_plan_lines(found: BankPlan) -> list[str]:
    """The banks in words; buffers that no bank has room for."""
    lines = [
        f"bank {number}: {len(plan.offsets)} buffers, peak {plan.peak_bytes:,} bytes, "
        f"lower bound {plan.lower_bound_bytes:,}"
        for number, plan in enumerate(found.plans)
    ]
    lines.append(f"{found.conflict_cycles:,} cycles are lost to conflicts")
    if found.striped:
        lines.append(
            f"no room was found in a bank that may hold them for: {', '.join(found.striped)}"
        )
    return lines


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
    if more > 0:
        lines.append(f"and {more} smaller ones")
    return [*lines, *_spill_lines(buffers, found.capacity_bytes or 0)]


def _spill_lines(buffers: Sequence[Buffer], capacity: int) -> list[str]:
    """What could be stored and loaded again while it is idle, by its uses.

    Nothing where nothing is idle, and where buffers share bytes: one of them alone frees none.
    """
    if any(buffer.group is not None or buffer.in_place_of is not None for buffer in buffers):
        return []
    advice = suggest_spills(buffers, capacity)
    moves = [
        f"{s.buffer} ({s.size_bytes:,}) from {s.idle[0]} to {s.idle[1]}" for s in advice.spills
    ]
    if not moves:
        return []
    left = len(moves) - LARGEST_SHOWN
    more = f" and {left} more" if left > 0 else ""
    text = f"stored while idle: {', '.join(moves[:LARGEST_SHOWN])}{more}"
    return [text, f"that lowers the bound to {advice.lower_bound_bytes:,} bytes"]
