"""Views as rows of words."""

from collections.abc import Sequence

import numpy as np

from npuc.emulator.functional.compiled.geometry import (
    CODE,
    COEFFICIENTS,
    FILL,
    LIMITS,
    OPERAND_WORDS,
    SIZE,
    SPACE,
    WINDOWS,
    Int64s,
)
from npuc.emulator.functional.plain import fill_element
from npuc.emulator.region import Region
from npuc.isa.descriptors import Space, View
from npuc.isa.numerics.convert import load_convert

_AXES = 7


def operand_words(view: View, axes: Sequence[int], code: int, domain: str) -> Int64s:
    """``axes`` says which axis of the command each dimension is; ``code`` converts a row."""
    words = np.zeros(OPERAND_WORDS, np.int64)
    words[list(axes)] = view.strides
    for number, window in enumerate(view.windows):
        words[LIMITS + number] = window.limit
        words[[COEFFICIENTS + number * _AXES + axis for axis in axes]] = window.coefficients
    words[CODE], words[SIZE] = code, view.dtype.bytes
    words[SPACE] = int(view.space is Space.acc)
    words[WINDOWS] = len(view.windows)
    words[FILL] = _fill_word(view, domain)
    return words


def _fill_word(view: View, domain: str) -> int:
    if not view.windows:
        return 0
    fill = fill_element(view.fill, view.dtype)
    return int(load_convert(fill, "f32" if domain == "f" else "i32").view(np.int32)[0])


def place_words(region: Region) -> tuple[int, int, int]:
    """Address and coordinates of both windows."""
    first, second = (*region.origins, 0, 0)[:2]
    return region.address, first, second
