"""``npuc ops``: the ONNX operators that npuc compiles."""

from npuc.compiler.frontend import TABLE
from npuc.runtime.cli.console import show_json, show_table
from npuc.runtime.cli.options import JsonOption
from npuc.runtime.tables import Table

STANDARD_DOMAIN = "ai.onnx"
NEWEST = 1 << 20  # an end beyond every opset: no end


def command(*, as_json: JsonOption = False) -> None:
    """List the operators with the opsets in which they are supported."""
    rows = [
        (operator, domain or STANDARD_DOMAIN, _opsets(entry.since, entry.until))
        for (domain, operator), entries in sorted(TABLE.items())
        for entry in entries
    ]
    columns = ("operator", "domain", "opsets")
    if as_json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        show_table(Table("", columns, rows))


def _opsets(since: int, until: int) -> str:
    return f"{since} and later" if until > NEWEST else f"{since} to {until}"
