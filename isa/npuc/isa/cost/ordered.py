"""Cycles of ``scan``, ``topk`` and ``sort``: rows of one length, apart from start-up and ports."""

import numpy as np

from npuc.isa.cost.rounding import Int64s, Ints, ceil_div, int64s
from npuc.isa.target import Target


def scan_cycles(target: Target, rows: Ints, length: Ints, step_cost: Ints) -> Int64s:
    """ceil(rows / lanes) x length x cost of a step: rows go side by side, elements in turn."""
    return np.asarray(ceil_div(rows, target.vpu.lanes) * int64s(length) * step_cost, np.int64)


def topk_cycles(target: Target, rows: Ints, length: Ints, k: Ints) -> Int64s:
    """Rows x (length x ceil(k / lanes) + k): each element is inserted into a list of k in lanes."""
    inserted = int64s(length) * ceil_div(k, target.vpu.lanes)
    return np.asarray(int64s(rows) * (inserted + int64s(k)), np.int64)


def sort_cycles(target: Target, rows: Ints, length: Ints) -> Int64s:
    """Rows x max(1, ceil(2^e / lanes) x e (e + 1) / 2), 2^e the length rounded up: a bitonic net.

    Nothing where the length is 0.
    """
    stages = sort_stages(length)
    passes = ceil_div(int64s(2) ** sort_exponent(length), target.vpu.lanes)
    each = np.where(int64s(length) > 0, np.maximum(passes * stages, 1), 0)
    return np.asarray(int64s(rows) * each, np.int64)


def sort_exponent(length: Ints) -> Int64s:
    """The least e with 2^e >= length."""
    whole = np.maximum(int64s(length), 1)
    return np.ceil(np.log2(whole.astype(np.float64))).astype(np.int64)


def sort_stages(length: Ints) -> Int64s:
    """Compare-and-exchange steps of each element: e (e + 1) / 2."""
    exponent = sort_exponent(length)
    return np.asarray(exponent * (exponent + 1) // 2, np.int64)
