"""Structure of the nn dialect: the graph, its return, fused groups, their yield, constants."""

from collections.abc import Sequence

from npuc.compiler.dialects.element_types import has_known_dtype
from npuc.compiler.xdsl_api import (
    ArrayAttr,
    Attribute,
    Block,
    IRDLOperation,
    IsolatedFromAbove,
    IsTerminator,
    Pure,
    Region,
    SSAValue,
    StringAttr,
    TensorType,
    VerifyException,
    irdl_op_definition,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)


def check_tensor(what: str, attribute: Attribute) -> None:
    """Raise VerifyException unless ``attribute`` is a static tensor of an element type of ours."""
    if not isinstance(attribute, TensorType) or not has_known_dtype(attribute.element_type):
        raise VerifyException(f"{what} has type {attribute}, which is no tensor of a known type")
    if any(size < 1 for size in attribute.get_shape()):
        raise VerifyException(f"{what} has type {attribute}; every size must be at least 1")


def _names(names: Sequence[str]) -> ArrayAttr[StringAttr]:
    return ArrayAttr([StringAttr(name) for name in names])


@irdl_op_definition
class ReturnOp(IRDLOperation):
    """Ends a graph: its operands are the graph's results, in the order of ``result_names``."""

    name = "nn.return"
    values = var_operand_def(TensorType)
    traits = traits_def(IsTerminator())
    assembly_format = "($values^ `:` type($values))? attr-dict"

    def __init__(self, values: Sequence[SSAValue]) -> None:
        super().__init__(operands=[values])


@irdl_op_definition
class GraphOp(IRDLOperation):
    """A whole model: block arguments are its inputs, ``nn.return`` names its outputs."""

    name = "nn.graph"
    graph_name = prop_def(StringAttr)
    arg_names = prop_def(ArrayAttr[StringAttr])
    result_names = prop_def(ArrayAttr[StringAttr])
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove())
    assembly_format = (
        "$graph_name `args` $arg_names `results` $result_names attr-dict-with-keyword $body"
    )

    def __init__(
        self, graph_name: str, arg_names: Sequence[str], result_names: Sequence[str], body: Region
    ) -> None:
        super().__init__(
            properties={
                "graph_name": StringAttr(graph_name),
                "arg_names": _names(arg_names),
                "result_names": _names(result_names),
            },
            regions=[body],
        )

    @property
    def block(self) -> Block:
        """The one block of the graph."""
        return self.body.block

    @property
    def inputs(self) -> dict[str, SSAValue]:
        """Graph inputs by name."""
        names = [name.data for name in self.arg_names]
        return dict(zip(names, self.body.block.args, strict=True))

    @property
    def outputs(self) -> dict[str, SSAValue]:
        """Graph outputs by name."""
        last = self.body.block.last_op
        assert isinstance(last, ReturnOp)
        return dict(zip([n.data for n in self.result_names], last.values, strict=True))

    def verify_(self) -> None:
        last = self.body.block.last_op
        if not isinstance(last, ReturnOp):
            raise VerifyException("a graph must end in nn.return")
        if len(self.arg_names) != len(self.body.block.args):
            raise VerifyException(
                f"{len(self.arg_names)} input names for {len(self.body.block.args)} inputs"
            )
        if len(self.result_names) != len(last.values):
            raise VerifyException(
                f"{len(self.result_names)} output names for {len(last.values)} outputs"
            )
        for name in (self.arg_names, self.result_names):
            if len(set(name.data)) != len(name):
                raise VerifyException(f"a name stands twice in {name}")
        for argument in self.body.block.args:
            check_tensor("an input", argument.type)


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a group (tensors) or a body or epilogue of nn.generic (scalars)."""

    name = "nn.yield"
    values = var_operand_def(Attribute)
    traits = traits_def(IsTerminator())
    assembly_format = "$values `:` type($values) attr-dict"

    def __init__(self, values: Sequence[SSAValue]) -> None:
        super().__init__(operands=[values])


@irdl_op_definition
class GroupOp(IRDLOperation):
    """Operations that become one piece of machine work; it sees its operands alone.

    It holds one contraction and at most one generic that is its epilogue, or one generic, or one
    movement. Block arguments stand for the operands in order, so groups of equal text are equal.
    """

    name = "nn.group"
    group_name = prop_def(StringAttr)
    inputs = var_operand_def(TensorType)
    outputs = var_result_def(TensorType)
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), Pure())
    assembly_format = (
        "$group_name `ins` `(` $inputs `:` type($inputs) `)` `->` type($outputs)"
        " attr-dict-with-keyword $body"
    )

    def __init__(
        self,
        group_name: str,
        inputs: Sequence[SSAValue],
        output_types: Sequence[Attribute],
        body: Region,
    ) -> None:
        super().__init__(
            operands=[inputs],
            result_types=[output_types],
            properties={"group_name": StringAttr(group_name)},
            regions=[body],
        )

    @property
    def block(self) -> Block:
        """The one block of the group."""
        return self.body.block

    def verify_(self) -> None:
        last = self.body.block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException("a group must end in nn.yield")
        given = [value.type for value in self.inputs]
        wanted = [argument.type for argument in self.body.block.args]
        if given != wanted:
            raise VerifyException(f"operands {given} do not suit the block arguments {wanted}")
        yielded = [value.type for value in last.values]
        if yielded != [value.type for value in self.outputs]:
            raise VerifyException(f"the group yields {yielded}, which are not its result types")


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A constant tensor, by its key in the store."""

    name = "nn.constant"
    key = prop_def(StringAttr)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$key attr-dict `:` type($result)"

    def __init__(self, key: str, result_type: Attribute) -> None:
        super().__init__(result_types=[result_type], properties={"key": StringAttr(key)})

    def verify_(self) -> None:
        check_tensor("the constant", self.result.type)
