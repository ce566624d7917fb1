"""IR as text: parse with our dialects, print with locations."""

import re
from io import StringIO

from npuc.compiler.context import NpuContext
from npuc.compiler.dialects.nn import NN
from npuc.compiler.dialects.npu import Npu
from npuc.compiler.dialects.tile import Tile
from npuc.compiler.xdsl_api import (
    Arith,
    Builtin,
    Math,
    ModuleOp,
    ParseError,
    Parser,
    Printer,
    VerifyException,
)
from npuc.isa.errors import UsageError

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
DIALECTS = (Builtin, Arith, Math, NN, Tile, Npu)


def load_dialects(ctx: NpuContext) -> None:
    """Make the dialects of all levels known to ``ctx``; those that are known stay."""
    known = {dialect.name for dialect in ctx.loaded_dialects}
    for dialect in DIALECTS:
        if dialect.name not in known:
            ctx.load_dialect(dialect)


def parse_module(text: str, ctx: NpuContext, origin: str = "IR") -> ModuleOp:
    """The module in ``text``. Raises: UsageError with the place for what does not parse."""
    load_dialects(ctx)
    _check_strings(text, origin)
    try:
        module = Parser(ctx, text, origin).parse_module()
        module.verify()
    except ParseError as error:
        raise UsageError("the IR text does not parse", where=origin, given=str(error)) from error
    except VerifyException as error:
        raise UsageError(
            "the IR text is not valid", where=origin, given=str(error).splitlines()[0]
        ) from error
    return module


def _check_strings(text: str, origin: str) -> None:
    """Refuse a string that does not end in its line: xDSL's lexer takes for ever over it."""
    for number, line in enumerate(text.splitlines(), 1):
        code = _STRING.sub("", line).partition("//")[0]
        if '"' in code:
            raise UsageError(
                "the IR text has a string that does not end",
                where=f"{origin}, line {number}",
                given=line.strip()[:80],
                allowed='"..." within one line',
                next_step="close the string",
            )


def print_module(module: ModuleOp, *, with_locations: bool = True) -> str:
    """The text of ``module``, ending in a newline."""
    stream = StringIO()
    Printer(stream=stream, print_debuginfo=with_locations).print_op(module)
    return stream.getvalue() + "\n"
