"""IR as text: parse with our dialects, print with locations."""

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


def print_module(module: ModuleOp, *, with_locations: bool = True) -> str:
    """The text of ``module``, ending in a newline."""
    stream = StringIO()
    Printer(stream=stream, print_debuginfo=with_locations).print_op(module)
    return stream.getvalue() + "\n"
