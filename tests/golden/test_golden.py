"""Golden files of passes: ``<pass>/<case>.mlir`` and what becomes of it, ``<case>.expect``.

The first line of an input is ``// `` and the pass string. Lines ``// const NAME = DTYPE [values]``
give constants; others get seeded random values. ``make golden`` writes the expected files anew.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from npuc.compiler.context import NpuContext, make_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import ConstantOp
from npuc.compiler.ir_text import parse_module, print_module
from npuc.compiler.options import CompileOptions
from npuc.compiler.pass_specs import parse_passes, pass_classes
from npuc.compiler.xdsl_api import ModuleOp
from npuc.isa.dtypes import DType

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*/*.mlir"))
_CONSTANT = re.compile(r"^// const (\S+) = (\w+) (.+)$", re.MULTILINE)


def fill_constants(module: ModuleOp, text: str, ctx: NpuContext) -> None:
    """Put every constant that the module names into the store."""
    for name, dtype, values in _CONSTANT.findall(text):
        ctx.consts.add_named({name: np.asarray(json.loads(values), DType[dtype].numpy)})
    for op in module.walk():
        if isinstance(op, ConstantOp) and op.key.data not in ctx.consts:
            rng = np.random.default_rng(zlib.crc32(op.key.data.encode()))
            values = rng.integers(-100, 100, shape_of(op.result))
            ctx.consts.add_named({op.key.data: values.astype(dtype_of(op.result).numpy)})


def transformed(text: str) -> str:
    """The IR and the remarks after the passes that the first line names."""
    ctx = make_context(CompileOptions())
    spec = text.splitlines()[0].removeprefix("//").strip()
    module = parse_module(text, ctx)
    fill_constants(module, text, ctx)
    for compiler_pass in parse_passes(spec, pass_classes()):
        compiler_pass.apply(ctx, module)
    module.verify()
    remarks = "".join(f"// {remark}\n" for remark in ctx.remarks)
    return print_module(module, with_locations=False) + remarks


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_of_passes(path: Path, golden) -> None:  # type: ignore[no-untyped-def]
    golden.check(path.with_suffix(".expect"), transformed(path.read_text(encoding="utf-8")))


def test_every_pass_has_a_golden_pair() -> None:
    folders = {path.parent.name for path in CASES}
    from npuc.compiler.pipeline import STAGES

    nn = [p.name for stage in STAGES if stage.dialect == "nn" for p in stage.passes]
    assert set(nn) <= folders
