"""A verification as text: the table of comparisons and the verdict."""

from npuc.runtime.tables import Cell, Table
from npuc.runtime.verification.comparison import Comparison
from npuc.runtime.verification.verify import VerifyReport


def comparison_rows(report: VerifyReport) -> Table:
    """One row per comparison, in the order of the levels."""
    rows: list[tuple[Cell, ...]] = [
        (
            comparison.stage,
            comparison.against,
            comparison.tensor,
            str(comparison.rule),
            f"{comparison.identical / max(comparison.elements, 1):.2%}",
            f"{comparison.largest:.4g}",
            "ok" if comparison.passed else "DIFFERS",
        )
        for comparison in report.comparisons
    ]
    columns = ("level", "against", "tensor", "rule", "identical", "largest", "")
    return Table("", columns, rows)


def verdict_lines(report: VerifyReport) -> list[str]:
    """One line when all is well, else the first difference and where to look."""
    what = f"{report.model} on {report.target} at -O{report.level}"
    failure = report.first_failure
    if failure is None:
        return [f"verified: {what}, {len(report.comparisons)} comparisons"]
    return [
        f"NOT verified: {what}",
        f"first difference: {failure.stage} against {failure.against}, tensor {failure.tensor}",
        f"  {_difference(failure)}",
        *(f"first origin, {origin}" for origin in report.origins),
        *([f"to blame: {report.culprit}"] if report.culprit else []),
        *([f"replay, inside the reproducer's folder: {report.replay}"] if report.replay else []),
    ]


def _difference(failure: Comparison) -> str:
    differing = failure.elements - failure.identical
    return f"{differing:,} of {failure.elements:,} elements; first {failure.first}"
