"""ONNXim's weight-stationary core, stepped cycle by cycle from the rules of its SystolicWS.cc.

Our option set is a closed form; this walks the pipeline that the form sums up. The rules: one
instruction is issued a cycle while fewer than ``rows`` are in the pipeline; the first one starts
when its weights are there, 2R - 1 cycles later; each further one starts max(m of the one before,
4, R) cycles after that one, or now if that is later; each takes R + C - 2 + max(m, 4) cycles.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from npuc.isa.cost import Product
from npuc.isa.target import Mxu


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
