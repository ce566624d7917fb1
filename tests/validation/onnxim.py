"""ONNXim's weight-stationary core, stepped cycle by cycle from the rules of its SystolicWS.cc.

Our option set is a closed form; this walks the pipeline that the form sums up. The rules: one
instruction is issued a cycle while fewer than ``rows`` are in the pipeline; the first one starts
when its weights are there, 2R - 1 cycles later; each further one starts max(m of the one before,
4, R) cycles after that one, or now if that is later; each takes R + C - 2 + max(m, 4) cycles.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from random import Random

from npuc.isa.cost import CONVENTIONS, Product
from npuc.isa.target import Mxu, load_target
from tests.validation.form import Rung, errors

ARRAYS = ((8, 8), (16, 16), (16, 32), (32, 32), (128, 128))
PRODUCTS = 60


@dataclass(frozen=True)
class _Issued:
    start: int
    finish: int


def stepped(mxu: Mxu, product: Product) -> int:
    """Cycles from the first issue until the last fold of ``product`` leaves the pipeline."""
    along_k = len(range(0, product.k, mxu.rows))
    along_n = len(range(0, product.n, mxu.cols))
    waiting = product.count * along_k * along_n
    pipeline: deque[_Issued] = deque()
    now = 0
    while True:
        while pipeline and pipeline[0].finish <= now:
            pipeline.popleft()
        if not waiting and not pipeline:
            return now
        if waiting and len(pipeline) < mxu.rows:
            start = now + mxu.rows + mxu.rows - 1
            if pipeline:
                start = max(now, pipeline[-1].start + max(product.m, 4, mxu.rows))
            pipeline.append(_Issued(start, start + mxu.rows + mxu.cols - 2 + max(product.m, 4)))
            waiting -= 1
        now += 1


def rung() -> Rung:
    """Random products on several arrays."""
    mxu, rng = load_target("edge").mxu, Random(4)
    ours, theirs = [], []
    for rows, cols in ARRAYS:
        array = replace(mxu, rows=rows, cols=cols)
        for _ in range(PRODUCTS):
            product = Product(*(rng.randint(1, 6 * rows) for _ in range(3)), rng.randint(1, 2))
            ours.append(CONVENTIONS["onnxim"](array, product))
            theirs.append(stepped(array, product))
    return Rung(
        "onnxim",
        "ONNXim option set",
        "closed form of `onnxim`",
        "its weight-stationary core, walked cycle by cycle from the rules of SystolicWS.cc",
        [errors("random products, 8x8 to 128x128", ours, theirs)],
        ("512x512x512 on 32x32 gives 131,197 cycles, the figure that its rule has by hand.",),
    )
