"""Random chains of jobs for the tests of stripes and of what stays in SPM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from hypothesis import strategies as st

from npuc.compiler.schedule.problem import GroupProblem, Operand
from npuc.compiler.schedule.program import Job, TensorFacts
from npuc.isa.dtypes import DType
from tests.compiler.schedule.problems import conv, elementwise, output, pooling

Shape = tuple[int, ...]


@dataclass
class Chain:
    """Jobs that follow one another; ``seen`` are the tensors that they made, with their shapes."""

    jobs: list[Job] = field(default_factory=list)
    tensors: list[TensorFacts] = field(default_factory=list)
    seen: list[tuple[int, Shape]] = field(default_factory=list)

    def tensor(self, n_bytes: int, segment: str) -> int:
        self.tensors.append(TensorFacts(f"t{len(self.tensors)}", n_bytes, segment))
        return len(self.tensors) - 1

    def add(self, problem: GroupProblem, inputs: Sequence[int]) -> None:
        """A job that makes a new tensor."""
        shape = problem.extents[:4]
        result = self.tensor(prod(shape), "scratch")
        self.seen.append((result, shape))
        self.job(problem, (*inputs, result))

    def job(self, problem: GroupProblem, tensors: tuple[int, ...]) -> None:
        self.jobs.append(Job(problem, tensors, (f"node{len(self.jobs)}",)))

    def weights(self, problem: GroupProblem) -> int:
        return self.tensor(prod(problem.operands[1].shape), "constant")

    def finish(self) -> Chain:
        """The newest tensor is the output: nobody reads it."""
        last = self.seen[-1][0]
        self.tensors[last] = replace(self.tensors[last], segment="output")
        return self


def in_bytes(problem: GroupProblem) -> GroupProblem:
    """The problem with an int8 result."""
    result = problem.operands[-1]
    made = output(result.argument, result.shape, DType.i8)
    return replace(problem, operands=(*problem.operands[:-1], made))


def add_conv(chain: Chain, window: Shape, channels: int) -> None:
    kernel, stride, pad = window
    source, shape = chain.seen[-1]
    problem = in_bytes(conv(shape, (kernel, kernel, channels), (stride, 1, pad)))
    chain.add(problem, (source, chain.weights(problem)))


def add_pool(chain: Chain, window: Shape) -> None:
    kernel, stride, pad = window
    source, shape = chain.seen[-1]
    chain.add(in_bytes(pooling(shape, kernel, (stride, 1, pad))), (source,))


def add_sum(chain: Chain, back: int) -> None:
    """The newest tensor and an older one of its shape, or itself."""
    source, shape = chain.seen[-1]
    alike = [tensor for tensor, other in chain.seen if other == shape]
    chain.add(in_bytes(elementwise(shape, [True] * 4)), (source, alike[-1 - back % len(alike)]))


def add_concat(chain: Chain, window: Shape) -> None:
    """Two poolings of different reach, side by side along the channels of one tensor."""
    source, shape = chain.seen[-1]
    reach, _, _ = window
    same = (reach, reach // 2) if reach % 2 else (1, 0)
    whole = (*shape[:3], 2 * shape[3])
    target = chain.tensor(prod(whole), "scratch")
    for number, (kernel, pad) in enumerate([(1, 0), same]):
        problem = in_bytes(pooling(shape, kernel, (1, 1, pad)))
        part = piece(problem.operands[-1], whole, number * shape[3])
        operands = (*problem.operands[:-1], part)
        chain.job(replace(problem, operands=operands), (source, target))
    chain.seen.append((target, whole))


def piece(result: Operand, whole: Shape, base: int) -> Operand:
    """``result`` as a view of a tensor of shape ``whole``."""
    strides = tuple(prod(whole[axis + 1 :]) for axis in range(4))
    return replace(result, strides=strides, base=base)


@st.composite
def chains(draw: st.DrawFn, low: int = 5, high: int = 12) -> Chain:
    """Two to six jobs over an image with ``low`` to ``high`` rows; all tensors are int8."""
    chain = Chain()
    sides = st.integers(low, high)
    shape = (1, draw(sides), draw(sides), draw(st.integers(1, 4)))
    chain.seen.append((chain.tensor(prod(shape), "input"), shape))
    for _ in range(draw(st.integers(2, 6))):
        kernel = draw(st.integers(1, min(3, *chain.seen[-1][1][1:3])))
        window = (kernel, draw(st.integers(1, 2)), draw(st.integers(0, min(1, kernel - 1))))
        kind = draw(st.sampled_from(["conv", "conv", "pool", "sum", "concat"]))
        if kind == "conv":
            add_conv(chain, window, draw(st.integers(1, 4)))
        elif kind == "pool":
            add_pool(chain, window)
        elif kind == "concat" and chain.seen[-1][1][3] <= 4:
            add_concat(chain, window)
        else:
            add_sum(chain, draw(st.integers(0, 3)))
    return chain.finish()
