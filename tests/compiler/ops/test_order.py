"""A float convolution accumulates in the order of its kernel: (kz, ky, kx, c), two rounded steps.

The referee loops over it in plain float32, one product and one sum at a time.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from npuc.compiler.driver import compile_model
from npuc.emulator.machine import run
from tests.compiler.ops.case import Array, Builder, Case

PADS = {1: [1, 2], 2: [1, 0, 0, 1], 3: [1, 0, 1, 0, 1, 1]}
STRIDES = {1: [2], 2: [1, 2], 3: [2, 1, 2]}
DILATIONS = {1: [1], 2: [2, 1], 3: [1, 2, 1]}
KERNELS = [(3,), (3, 2), (1, 3), (2, 3, 3), (1, 2, 3), (3, 1, 1), (2, 2, 1)]
CHANNELS, OUTPUTS = 4, 6


def convolution(kernel: tuple[int, ...], groups: int) -> Case:
    rank = len(kernel)
    b = Builder(rank)
    x = b.input((2, CHANNELS, 5, 6, 7)[: 2 + rank], scale=3.0)
    w = b.weights(OUTPUTS, CHANNELS // groups, *kernel)
    attributes = {
        "pads": PADS[rank],
        "strides": STRIDES[rank],
        "dilations": DILATIONS[rank],
        "group": groups,
    }
    return b.case("order", b.node("Conv", x, w, **attributes))


def in_order(x: Array, w: Array, groups: int) -> Array:
    """The convolution by the written order; ``x`` without padding."""
    rank = x.ndim - 2
    widths = list(zip(PADS[rank][:rank], PADS[rank][rank:], strict=True))
    padded = np.pad(x, [(0, 0), (0, 0), *widths])
    steps = list(zip(STRIDES[rank], DILATIONS[rank], strict=True))
    sizes = [
        (n - (k - 1) * dilation - 1) // stride + 1
        for n, k, (stride, dilation) in zip(padded.shape[2:], w.shape[2:], steps, strict=True)
    ]
    result = np.zeros((x.shape[0], w.shape[0], *sizes), np.float32)
    inside, outside = w.shape[1], w.shape[0] // groups
    for place in product(*map(range, w.shape[2:])):
        cuts = tuple(
            slice(k * dilation, k * dilation + (n - 1) * stride + 1, stride)
            for k, n, (stride, dilation) in zip(place, sizes, steps, strict=True)
        )
        for channel, output in product(range(inside), range(w.shape[0])):
            source = padded[(slice(None), output // outside * inside + channel, *cuts)]
            result[:, output] += source * w[(output, channel, *place)]
    return result


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: "x".join(map(str, k)))
def test_products_are_added_in_the_order_of_the_kernel(
    kernel: tuple[int, ...], groups: int
) -> None:
    case = convolution(kernel, groups)
    program = compile_model(case.model.SerializeToString()).program
    assert program is not None
    (got,) = run(program, case.inputs).outputs.values()
    (x,), (tensor,) = case.inputs.values(), case.model.graph.initializer
    want = in_order(x, np.frombuffer(tensor.raw_data, np.float32).reshape(tensor.dims), groups)
    np.testing.assert_array_equal(got, want)
