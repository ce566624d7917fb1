"""IR text in files: its constants lie beside it, for the text names them by key alone."""

from pathlib import Path

from npuc.compiler.consts import ConstStore
from npuc.compiler.ir_text import print_module
from npuc.compiler.xdsl_api import ModuleOp
from npuc.runtime.arrays import Arrays
from npuc.runtime.files import load_arrays, replacing, write_text


def consts_path(ir: Path) -> Path:
    """Where the constants of the IR file ``ir`` lie: ``g.mlir`` has ``g.consts.npz``."""
    return ir.with_suffix(".consts.npz")


def ir_outputs(output: Path | None) -> dict[str, Path | None]:
    """The files that ``write_ir`` writes, by what messages call them."""
    beside = consts_path(output) if output is not None and output.name else None
    return {"--output": output, "the constants beside --output": beside}


def write_ir(ir: Path, module: ModuleOp, consts: ConstStore) -> None:
    """Write ``module`` as text and its constants beside it; neither is left half-written."""
    text = print_module(module)
    if len(consts):
        with replacing(consts_path(ir)) as temporary:
            consts.save(temporary)
    write_text(ir, text)


def read_consts(ir: Path, given: Path | None) -> Arrays:
    """The constants for ``ir``: from the file ``given``, or from beside it where there are any.

    Raises: InputError when the file is no archive; OSError when a given one cannot be read.
    """
    path = given or consts_path(ir)
    return load_arrays(path) if given or path.exists() else {}
