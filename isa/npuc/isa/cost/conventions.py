"""How other simulators count the cycles of a matrix product, to be laid beside ours.

Their arrays are R x C = ``mxu.rows`` x ``mxu.cols``; memories are taken as free. None of this is
what the machine does: ``matrix.py`` is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from npuc.isa.target import Mxu

SCALESIM_PRINTS_LESS = 1  # SCALE-Sim prints the number of the last cycle, counted from 0
ONNXIM_LEAST_ROWS = 4  # an instruction of fewer rows takes as long as one of four


@dataclass(frozen=True)
class Product:
    """``count`` products of M x K by K x N, one after another."""

    m: int
    k: int
    n: int
    count: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all of them."""
        return self.count * self.m * self.k * self.n

    def __str__(self) -> str:
        """``MxKxN``, and how many where there are several."""
        text = f"{self.m}x{self.k}x{self.n}"
        return text if self.count == 1 else f"{self.count} of {text}"


def _folds(mxu: Mxu, along_rows: int, along_cols: int) -> int:
    return -(-along_rows // mxu.rows) * -(-along_cols // mxu.cols)


def scalesim_ws(mxu: Mxu, product: Product) -> int:
    """F (2R + C + M - 2) - 1 a product, F = ceil(K/R) ceil(N/C): folds never overlap.

    Source: SCALE-Sim v3, compute/systolic_compute_ws.py; measured rows in tests/validation/data.
    """
    each = _folds(mxu, product.k, product.n) * (2 * mxu.rows + mxu.cols + product.m - 2)
    return product.count * (each - SCALESIM_PRINTS_LESS)


def scalesim_is(mxu: Mxu, product: Product) -> int:
    """As ``scalesim_ws`` with M and N exchanged: the activations stay in the array."""
    return scalesim_ws(mxu, Product(product.n, product.k, product.m, product.count))


def scalesim_os(mxu: Mxu, product: Product) -> int:
    """F (R + C + K - 2) - 1 a product, F = ceil(M/R) ceil(N/C): sums leave off the clock.

    Source: SCALE-Sim v3, compute/systolic_compute_os.py.
    """
    each = _folds(mxu, product.m, product.n) * (mxu.rows + mxu.cols + product.k - 2)
    return product.count * (each - SCALESIM_PRINTS_LESS)


def onnxim(mxu: Mxu, product: Product) -> int:
    """2R - 1 for the first weights, max(M, 4, R) from fold to fold, R + C - 2 + max(M, 4) at last.

    Each fold is one instruction that preloads its weights behind the fold before.
    Source: ONNXim, SystolicWS.cc; its output-stationary core is not finished there.
    """
    streamed = max(product.m, ONNXIM_LEAST_ROWS)
    folds = product.count * _folds(mxu, product.k, product.n)
    preload = 2 * mxu.rows - 1
    return preload + (folds - 1) * max(streamed, mxu.rows) + mxu.rows + mxu.cols - 2 + streamed


CONVENTIONS: Mapping[str, Callable[[Mxu, Product], int]] = {
    "scalesim-ws": scalesim_ws,
    "scalesim-os": scalesim_os,
    "scalesim-is": scalesim_is,
    "onnxim": onnxim,
}
