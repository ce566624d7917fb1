"""The page of micro-ops."""

from npuc.isa.manual.definition import meaning_text
from npuc.isa.manual.markdown import in_cell, page, table
from npuc.isa.microops import MICRO_OPS
from npuc.isa.target import builtin_target_names, load_target

_MICRO_OPS = """
Values are float32 (`f`) or int32 (`i`). A reduction takes one value per point of the reduction
space and yields one per output. Costs are lane-cycles.
"""


def micro_ops_page() -> str:
    """The page."""
    targets = [load_target(name) for name in builtin_target_names()]
    rows = [
        (
            *(str(op.code), f"`{op.name}`", f"{', '.join(op.operands)} → {op.result}"),
            *("yes" if op.is_reduction else "", in_cell(meaning_text(op))),
            *(str(target.vpu.cost_of(op.name)) for target in targets),
        )
        for op in MICRO_OPS
    ]
    head = ("code", "name", "domains", "reduces", "meaning", *(f"cost, {t.name}" for t in targets))
    return page("Micro-ops", [_MICRO_OPS, table(head, rows)])
