"""nn.constant, nn.reshape and nn.transpose: values that only change place."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import ConstantOp, ReshapeOp, TransposeOp
from npuc.compiler.ops.interface import Array, contradiction
from npuc.compiler.xdsl_api import Attribute, Operation, SSAValue
from npuc.isa.dtypes import DType


def make_constant(array: Array, consts: ConstStore) -> ConstantOp:
    """A constant operation of ``array``, which goes to the store."""
    return ConstantOp(consts.put(array), tensor_type(DType.from_numpy(array.dtype), array.shape))


def make_reshape(x: SSAValue, shape: Sequence[int]) -> ReshapeOp:
    """``x`` under another shape of as many elements."""
    return ReshapeOp(x, tensor_type(dtype_of(x), shape))


def make_transpose(x: SSAValue, perm: Sequence[int]) -> TransposeOp:
    """``x`` with its axes in the order ``perm``."""
    shape = shape_of(x)
    return TransposeOp(x, perm, tensor_type(dtype_of(x), [shape[axis] for axis in perm]))


class Constant:
    """A constant by key."""

    op_class = ConstantOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        """The declared type; ``reference`` checks it against the stored array."""
        return (cast(ConstantOp, op).result.type,)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        constant = cast(ConstantOp, op)
        array = consts.get(constant.key.data)
        declared = (shape_of(constant.result), dtype_of(constant.result).numpy)
        if (array.shape, array.dtype) != declared:
            raise contradiction(
                op,
                "the stored array has another type than the operation",
                f"{array.dtype} {array.shape} for {constant.result.type}",
            )
        return (array,)


class Reshape:
    """Another shape of the same elements."""

    op_class = ReshapeOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        reshape = cast(ReshapeOp, op)
        shape = shape_of(reshape.result)
        if np.prod(shape_of(reshape.x)) != np.prod(shape):
            raise contradiction(
                op, "the number of elements changes", f"{reshape.x.type} to {reshape.result.type}"
            )
        return (tensor_type(dtype_of(reshape.x), shape),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        return (np.reshape(operands[0], shape_of(cast(ReshapeOp, op).result)),)


class Transpose:
    """Another order of the axes."""

    op_class = TransposeOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        transpose = cast(TransposeOp, op)
        shape, perm = shape_of(transpose.x), transpose.permutation
        if len(perm) != len(shape):
            raise contradiction(op, "perm does not suit the tensor", f"{perm} of {shape}")
        return (tensor_type(dtype_of(transpose.x), [shape[axis] for axis in perm]),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        perm = cast(TransposeOp, op).permutation
        return (np.ascontiguousarray(np.transpose(operands[0], perm)),)


OPS = (Constant(), Reshape(), Transpose())
