"""Random small ONNX graphs over the supported operators: float, QDQ and QOperator notation.

A graph grows by steps; each takes the newest tensor (and sometimes an older one of its shape) and
gives the next. hypothesis draws a seed and the number of steps: every choice comes from the seed
and the step's number, so that a failing graph shrinks to its first steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from tests.compiler.ops.cases import F32, I8, MS, U8, Builder, Case

MAX_POINTS = 17_000
MAX_STEPS = 6


@dataclass(frozen=True)
class Known:
    """A tensor of the graph; ``affine`` names scale and zero point where it is quantised."""

    name: str
    shape: tuple[int, ...]
    affine: tuple[str, str] = ("", "")


@dataclass
class Grower:
    """A graph in the making. ``notation`` is float, qdq or qop; ``kind`` of quantised tensors."""

    b: Builder
    notation: str
    kind: type = np.int8
    seen: list[Known] = field(default_factory=list)

    def number(self, low: int, high: int) -> int:
        return int(self.b.rng.integers(low, high + 1))

    def chance(self) -> bool:
        return bool(self.b.rng.integers(2))

    def pick(self, options: list[str]) -> str:
        return options[self.number(0, len(options) - 1)]

    def affine(self, scale: float | None = None) -> tuple[str, str]:
        info = np.iinfo(self.kind)
        chosen = self.b.rng.uniform(0.03, 0.06) if scale is None else scale
        middle = (info.min + info.max + 1) // 2
        zero = self.kind(middle + self.number(-30, 30))
        return self.b.const(np.float32(chosen)), self.b.const(zero)

    def start(self, shape: tuple[int, ...]) -> None:
        if self.notation == "qop":
            kind = I8 if self.kind is np.int8 else U8
            self.seen.append(Known(self.b.input(shape, kind), shape, self.affine()))
            return
        self.settle(self.b.input(shape), shape)

    def settle(self, name: str, shape: tuple[int, ...]) -> None:
        """The next tensor; in QDQ graphs it is quantised and dequantised first."""
        if self.notation == "qdq":
            affine = self.affine()
            name = self.b.node("QuantizeLinear", name, *affine)
            name = self.b.node("DequantizeLinear", name, *affine)
        self.seen.append(Known(name, shape))

    def weights(self, *shape: int, axis: int = 0) -> str:
        """Float weights, through DequantizeLinear in QDQ graphs, per channel or not."""
        fan_in = max(1, int(np.prod(shape)) // shape[axis])
        if self.notation != "qdq":
            return self.b.weights(*shape, scale=fan_in**-0.5)
        stored, scales, zeros = self.int8_weights(shape, axis, per_channel=self.chance())
        return self.b.node("DequantizeLinear", stored, scales, zeros, axis=axis)

    def int8_weights(
        self, shape: tuple[int, ...], axis: int, *, per_channel: bool
    ) -> tuple[str, str, str]:
        """Values, scales and zero points: one for each index along ``axis``, or one for all."""
        fan_in = max(1, int(np.prod(shape)) // shape[axis])
        n_scales = shape[axis] if per_channel else ()
        scales = self.b.rng.uniform(0.5, 1.5, n_scales) / (70 * fan_in**0.5)
        zeros = np.zeros(n_scales, np.int8)
        return (
            self.b.int8(*shape),
            self.b.const(np.asarray(scales, np.float32)),
            self.b.const(zeros),
        )

    def grow(self) -> None:
        """One step of a kind that suits the notation and the newest tensor."""
        last = self.seen[-1]
        steps = QUANTISED_STEPS if self.notation == "qop" else STEPS
        allowed = [name for name, (ranks, _) in steps.items() if len(last.shape) in ranks]
        allowed += ["conv"] * 3 if len(last.shape) == 4 else []
        steps[self.pick(allowed)][1](self, last)

    def case(self) -> Case:
        """The finished graph; its output is the newest tensor, as float where it is quantised."""
        last = self.seen[-1]
        exact = self.notation == "qop"
        outputs = [self.b.node("DequantizeLinear", last.name, *last.affine)] if exact else []
        if exact and self.chance() and len(self.seen) > 1:
            return self.b.case("random", last.name, kind=I8 if self.kind is np.int8 else U8)
        if not exact:
            outputs = [last.name if self.notation == "qdq" else self.b.node("Identity", last.name)]
            if len(self.seen) > 2 and self.chance() and self.notation == "float":
                outputs.append(self.b.node("Relu", self.seen[len(self.seen) // 2].name))
        return self.b.case("random", *outputs, kind=F32)


def _window(g: Grower, shape: tuple[int, ...]) -> tuple[dict[str, object], tuple[int, int]]:
    """Attributes of a window that fits, and the size that it gives."""
    kernel = [g.number(1, min(3, side)) for side in shape[2:]]
    strides = [g.number(1, 3), g.number(1, 3)]
    pads = [g.number(0, k - 1) for k in kernel * 2]
    sizes = [
        (side + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1
        for i, side in enumerate(shape[2:])
    ]
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    return attributes, (sizes[0], sizes[1])


def _conv_shapes(
    g: Grower, last: Known
) -> tuple[dict[str, object], tuple[int, ...], tuple[int, ...]]:
    """Attributes, shape of the weights OIHW and of the result."""
    attributes, size = _window(g, last.shape)
    channels = last.shape[1]
    group = channels if g.chance() and channels > 1 else 1
    out = channels if group > 1 else g.number(1, 9)
    kernel = attributes["kernel_shape"]
    assert isinstance(kernel, list)
    w_OIHW = (out, channels // group, *kernel)
    return {**attributes, "group": group}, w_OIHW, (last.shape[0], out, *size)


def _conv(g: Grower, last: Known) -> None:
    attributes, w_OIHW, shape = _conv_shapes(g, last)
    inputs = [last.name, g.weights(*w_OIHW)]
    if g.chance():
        inputs.append(g.b.weights(w_OIHW[0]))
    g.settle(g.b.node("Conv", *inputs, **attributes), shape)


def _pool(op: str) -> Callable[[Grower, Known], None]:
    def step(g: Grower, last: Known) -> None:
        attributes, size = _window(g, last.shape)
        if op == "AveragePool":
            attributes["count_include_pad"] = g.number(0, 1)
        g.settle(g.b.node(op, last.name, **attributes), (*last.shape[:2], *size))

    return step


def _global_average(g: Grower, last: Known) -> None:
    g.settle(g.b.node("GlobalAveragePool", last.name), (*last.shape[:2], 1, 1))


def _reduce_mean(g: Grower, last: Known) -> None:
    axes = sorted({g.number(1, len(last.shape) - 1) for _ in range(2)})
    keep = g.number(0, 1)
    name = g.b.node("ReduceMean", last.name, g.b.const(np.asarray(axes, np.int64)), keepdims=keep)
    kept = [1 if axis in axes else side for axis, side in enumerate(last.shape)]
    shape = kept if keep else [side for axis, side in enumerate(kept) if axis not in axes]
    g.settle(name, tuple(shape))


def _add(g: Grower, last: Known) -> None:
    """With an older tensor of this shape, or a constant that broadcasts."""
    older = [known.name for known in g.seen[:-1] if known.shape == last.shape]
    if older and g.chance():
        other = g.pick(older)
    else:
        shape = [side if g.chance() else 1 for side in last.shape]
        other = g.b.weights(*shape[g.number(0, len(shape) - 1) :])
    pair = [last.name, other]
    g.settle(g.b.node("Add", *(reversed(pair) if g.chance() else pair)), last.shape)


def _unary(op: str) -> Callable[[Grower, Known], None]:
    def step(g: Grower, last: Known) -> None:
        g.settle(g.b.node(op, last.name), last.shape)

    return step


def _clip(g: Grower, last: Known) -> None:
    low = g.b.const(np.float32(-0.1 * g.number(0, 9)))
    high = g.b.const(np.float32(0.1 * g.number(1, 20)))
    g.settle(g.b.node("Clip", last.name, low, high if g.chance() else ""), last.shape)


def _softmax(g: Grower, last: Known) -> None:
    axis = g.number(0, len(last.shape) - 1)
    g.settle(g.b.node("Softmax", last.name, axis=axis), last.shape)


def _moved(g: Grower, last: Known) -> Known:
    """Reshaped, flattened or transposed."""
    how = g.pick(["Flatten", "Reshape", "Transpose"])
    if how == "Flatten":
        axis = g.number(1, len(last.shape))
        shape = (int(np.prod(last.shape[:axis])), int(np.prod(last.shape[axis:])))
        return replace(last, name=g.b.node("Flatten", last.name, axis=axis), shape=shape)
    if how == "Transpose":
        perm = g.b.rng.permutation(len(last.shape)).tolist()
        shape = tuple(last.shape[axis] for axis in perm)
        return replace(last, name=g.b.node("Transpose", last.name, perm=perm), shape=shape)
    shape = (*last.shape[:-2], last.shape[-2] * last.shape[-1])
    if len(last.shape) < 3:
        shape = (1, last.shape[0], last.shape[-1])
    target = g.b.const(np.asarray(shape, np.int64))
    return replace(last, name=g.b.node("Reshape", last.name, target), shape=shape)


def _move(g: Grower, last: Known) -> None:
    if len(last.shape) < 2:
        return
    moved = _moved(g, last)
    g.settle(moved.name, moved.shape)


def _matmul(g: Grower, last: Known) -> None:
    columns = g.number(1, 20)
    w = g.weights(last.shape[-1], columns, axis=1)
    g.settle(g.b.node("MatMul", last.name, w), (*last.shape[:-1], columns))


def _self_product(g: Grower, last: Known) -> None:
    """A product of two activations: the tensor and its own transpose."""
    rank = len(last.shape)
    perm = [*range(rank - 2), rank - 1, rank - 2]
    turned = g.b.node("Transpose", last.name, perm=perm)
    shape = (*last.shape[:-1], last.shape[-2])
    scaled = g.b.node("MatMul", last.name, turned)
    if g.notation == "float":
        scaled = g.b.node("Mul", scaled, g.b.const(np.float32(0.5 / last.shape[-1])))
    g.settle(scaled, shape)


def _gemm(g: Grower, last: Known) -> None:
    columns, turned = g.number(1, 20), g.number(0, 1)
    shape = (columns, last.shape[1]) if turned else (last.shape[1], columns)
    w = g.weights(*shape, axis=1 - turned)
    bias = [g.b.weights(columns)] if g.chance() else []
    y = g.b.node("Gemm", last.name, w, *bias, transB=turned)
    g.settle(y, (last.shape[0], columns))


STEPS: dict[str, tuple[tuple[int, ...], Callable[[Grower, Known], None]]] = {
    "conv": ((4,), _conv),
    "max pool": ((4,), _pool("MaxPool")),
    "average pool": ((4,), _pool("AveragePool")),
    "global average": ((4,), _global_average),
    "reduce mean": ((3, 4), _reduce_mean),
    "add": ((1, 2, 3, 4), _add),
    "relu": ((1, 2, 3, 4), _unary("Relu")),
    "sigmoid": ((1, 2, 3, 4), _unary("Sigmoid")),
    "clip": ((1, 2, 3, 4), _clip),
    "softmax": ((2, 3, 4), _softmax),
    "move": ((2, 3, 4), _move),
    "matmul": ((2, 3, 4), _matmul),
    "self product": ((2, 3), _self_product),
    "gemm": ((2,), _gemm),
}


def _keep(g: Grower, known: Known) -> None:
    g.seen.append(known)


def _qlinear_conv(g: Grower, last: Known) -> None:
    attributes, w_OIHW, shape = _conv_shapes(g, last)
    bias = g.b.const(g.b.rng.integers(-900, 900, w_OIHW[0]).astype(np.int32))
    affine = g.affine()
    weights = _weights_of_kind(g, w_OIHW, 0, per_channel=g.chance())
    inputs = [last.name, *last.affine, *weights, *affine]
    y = g.b.node("QLinearConv", *inputs, *([bias] if g.chance() else []), **attributes)
    _keep(g, Known(y, shape, affine))


def _weights_of_kind(
    g: Grower, shape: tuple[int, ...], axis: int, *, per_channel: bool = False
) -> tuple[str, str, str]:
    """int8, per channel or not; with uint8 activations uint8 and one zero point."""
    if g.kind is np.int8:
        return g.int8_weights(shape, axis, per_channel=per_channel)
    scale, zero = g.affine(0.01)
    return g.b.int8(*shape, kind=np.uint8), scale, zero


def _qlinear_matmul(g: Grower, last: Known) -> None:
    columns, affine = g.number(1, 20), g.affine()
    shape = (last.shape[-1], columns)
    stored, scale, zero = _weights_of_kind(g, shape, 1)
    y = g.b.node("QLinearMatMul", last.name, *last.affine, stored, scale, zero, *affine)
    _keep(g, Known(y, (*last.shape[:-1], columns), affine))


def _qlinear_self_product(g: Grower, last: Known) -> None:
    rank = len(last.shape)
    turned = g.b.node("Transpose", last.name, perm=[*range(rank - 2), rank - 1, rank - 2])
    affine = g.affine(0.2)
    y = g.b.node("QLinearMatMul", last.name, *last.affine, turned, *last.affine, *affine)
    _keep(g, Known(y, (*last.shape[:-1], last.shape[-2]), affine))


def _qgemm(g: Grower, last: Known) -> None:
    columns, affine = g.number(1, 20), g.affine()
    stored, scale, zero = _weights_of_kind(g, (columns, last.shape[1]), 0)
    bias = g.b.const(g.b.rng.integers(-900, 900, columns).astype(np.int32))
    inputs = [last.name, *last.affine, stored, scale, zero, bias, *affine]
    y = g.b.node("QGemm", *inputs, domain=MS, transB=1)
    _keep(g, Known(y, (last.shape[0], columns), affine))


def _int8_max_pool(g: Grower, last: Known) -> None:
    attributes, size = _window(g, last.shape)
    y = g.b.node("MaxPool", last.name, **attributes)
    _keep(g, replace(last, name=y, shape=(*last.shape[:2], *size)))


def _int8_move(g: Grower, last: Known) -> None:
    _keep(g, _moved(g, last))


def _requantised(g: Grower, last: Known) -> None:
    """To float, a float step, and back: the boundary between the notations."""
    x = g.b.node("DequantizeLinear", last.name, *last.affine)
    affine = g.affine()
    y = g.b.node("QuantizeLinear", g.b.node(g.pick(["Relu", "Identity"]), x), *affine)
    _keep(g, Known(y, last.shape, affine))


QUANTISED_STEPS: dict[str, tuple[tuple[int, ...], Callable[[Grower, Known], None]]] = {
    "conv": ((4,), _qlinear_conv),
    "max pool": ((4,), _int8_max_pool),
    "move": ((2, 3, 4), _int8_move),
    "requantise": ((1, 2, 3, 4), _requantised),
    "matmul": ((2, 3, 4), _qlinear_matmul),
    "self product": ((2, 3), _qlinear_self_product),
    "gemm": ((2,), _qgemm),
}


def graphs(notation: str) -> st.SearchStrategy[Case]:
    """Random graphs of one to six steps with seeded weights and inputs."""
    seeds = st.binary(min_size=8, max_size=8).map(lambda data: int.from_bytes(data, "little"))
    return st.builds(_graph, st.just(notation), seeds, st.integers(1, MAX_STEPS))


def _start_shape(g: Grower) -> tuple[int, ...]:
    """Mostly small; one in eight so large that the small target must cut it into tiles."""
    kind = g.number(0, 7)
    if kind == 0:
        return (1, g.number(16, 64), g.number(10, 16), g.number(10, 16))
    if kind <= 2:
        return (g.number(1, 12), g.number(1, 90))
    return (g.number(1, 2), g.number(1, 9), g.number(1, 9), g.number(1, 9))


def _graph(notation: str, seed: int, steps: int) -> Case:
    g = Grower(Builder(seed), notation)
    if notation != "float" and g.chance():
        g.kind = np.uint8
    g.start(_start_shape(g))
    for step in range(steps):
        g.b.rng = np.random.default_rng((seed, step))
        if np.prod(g.seen[-1].shape) <= MAX_POINTS:
            g.grow()
    return g.case()
