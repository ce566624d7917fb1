"""Everything that npuc takes from xDSL, in one place: a release is met here and in xdsl_checks.

Every other module of the compiler imports these names from here, never from ``xdsl``.
"""

from collections.abc import Mapping, Sequence
from typing import Self

from xdsl.context import Context
from xdsl.dialects import arith, math
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import (
    UNKNOWN_LOC,
    AffineMapAttr,
    ArrayAttr,
    BoolAttr,
    Builtin,
    DenseArrayBase,
    DictionaryAttr,
    Float32Type,
    FloatAttr,
    FusedLoc,
    IndexType,
    IntAttr,
    IntegerAttr,
    IntegerType,
    LocationAttr,
    ModuleOp,
    NameLoc,
    NoneAttr,
    Signedness,
    StringAttr,
    TensorType,
    UnitAttr,
    UnknownLoc,
    bf16,
    f16,
    f32,
    i1,
    i8,
    i16,
    i32,
    i64,
)
from xdsl.dialects.math import Math
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import (
    Attribute,
    Block,
    BlockArgument,
    Data,
    Dialect,
    Operation,
    OpResult,
    ParametrizedAttribute,
    Region,
    SpacedOpaqueSyntaxAttribute,
    SSAValue,
    SSAValues,
    TypeAttribute,
    Use,
)
from xdsl.ir.affine import (
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
    AffineMap,
)
from xdsl.irdl import (
    AttrSizedOperandSegments,
    AttrSizedRegionSegments,
    AttrSizedResultSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    attr_def,
    base,
    irdl_attr_definition,
    operand_def,
    opt_attr_def,
    opt_operand_def,
    opt_prop_def,
    opt_region_def,
    opt_result_def,
    param_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_region_def,
    var_result_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.passes import ModulePass, PassPipeline
from xdsl.pattern_rewriter import (
    GreedyRewritePatternApplier,
    PatternRewriter,
    PatternRewriteWalker,
    RewritePattern,
    op_type_rewrite_pattern,
)
from xdsl.printer import Printer
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.traits import (
    HasParent,
    IsolatedFromAbove,
    IsTerminator,
    MemoryReadEffect,
    MemoryWriteEffect,
    NoTerminator,
    Pure,
    RecursiveMemoryEffect,
    SymbolOpInterface,
)
from xdsl.transforms.common_subexpression_elimination import cse
from xdsl.transforms.dead_code_elimination import dce
from xdsl.utils.exceptions import ArgSpecParseError, ParseError, VerifyException
from xdsl.utils.str_enum import StrEnum

from npuc.compiler.xdsl_checks import inside, irdl_op_definition, verify_inside

__all__ = [
    "AffineConstantExpr",
    "AffineDimExpr",
    "AffineExpr",
    "AffineMap",
    "AffineMapAttr",
    "ArgSpecParseError",
    "Arith",
    "ArrayAttr",
    "AttrParser",
    "AttrSizedOperandSegments",
    "AttrSizedRegionSegments",
    "AttrSizedResultSegments",
    "Attribute",
    "Block",
    "BlockArgument",
    "BoolAttr",
    "Builtin",
    "Context",
    "Data",
    "DenseArrayBase",
    "Dialect",
    "DictionaryAttr",
    "EnumAttribute",
    "Float32Type",
    "FloatAttr",
    "FusedLoc",
    "GreedyRewritePatternApplier",
    "HasParent",
    "IRDLOperation",
    "IndexType",
    "InsertPoint",
    "IntAttr",
    "IntegerAttr",
    "IntegerType",
    "IsTerminator",
    "IsolatedFromAbove",
    "LocationAttr",
    "Math",
    "MemoryReadEffect",
    "MemoryWriteEffect",
    "ModuleOp",
    "ModulePass",
    "NameLoc",
    "NoTerminator",
    "NoneAttr",
    "OpResult",
    "Operation",
    "ParametrizedAttribute",
    "ParseError",
    "ParsePropInAttrDict",
    "Parser",
    "PassPipeline",
    "PatternRewriteWalker",
    "PatternRewriter",
    "PlainOperation",
    "Printer",
    "Pure",
    "RecursiveMemoryEffect",
    "Region",
    "RewritePattern",
    "Rewriter",
    "SSAValue",
    "Signedness",
    "SpacedOpaqueSyntaxAttribute",
    "StrEnum",
    "StringAttr",
    "SymbolOpInterface",
    "TensorType",
    "TypeAttribute",
    "UnitAttr",
    "UnknownLoc",
    "VerifyException",
    "arith",
    "attr_def",
    "base",
    "bf16",
    "cse",
    "dce",
    "f16",
    "f32",
    "i1",
    "i8",
    "i16",
    "i32",
    "i64",
    "irdl_attr_definition",
    "irdl_op_definition",
    "math",
    "op_type_rewrite_pattern",
    "operand_def",
    "opt_attr_def",
    "opt_operand_def",
    "opt_prop_def",
    "opt_region_def",
    "opt_result_def",
    "param_def",
    "prop_def",
    "region_def",
    "result_def",
    "traits_def",
    "var_operand_def",
    "var_region_def",
    "var_result_def",
    "verify_inside",
    "walk",
]


_NO_OPERANDS, _NO_RESULTS = SSAValues[SSAValue](), SSAValues[OpResult]()


class PlainOperation(IRDLOperation):
    """An operation made by the thousand, of which at most one operand definition is variadic.

    Operands are given in one sequence, so that nothing is left to sort, which takes xDSL longer
    than all the rest. Properties that are None are left out; none has a default value.
    """

    def __init__(
        self,
        *,
        operands: Sequence[SSAValue] = (),
        result_types: Sequence[Attribute] = (),
        properties: Mapping[str, Attribute | None] | None = None,
        regions: Sequence[Region] = (),
    ) -> None:
        given = {} if properties is None else properties
        self._operands, uses = SSAValues(operands) if operands else _NO_OPERANDS, []
        for number, operand in enumerate(operands):
            use = Use(self, number)
            operand.add_use(use)
            uses.append(use)
        self._operand_uses = tuple(uses)
        results = [OpResult(kind, self, n) for n, kind in enumerate(result_types)]
        self.results = SSAValues(results) if results else _NO_RESULTS
        self.properties = {name: value for name, value in given.items() if value is not None}
        self.attributes = {}
        self.location = UNKNOWN_LOC
        self.regions = ()
        for region in regions:
            self.add_region(region)

    def twin(self, regions: Sequence[Region] = ()) -> Self:
        """Another of this kind with the same properties, of one without operands and results."""
        assert not self._operands, "a twin would use what this one uses"
        assert not self.results, "no one would use the twin's results"
        made = type(self).__new__(type(self))
        PlainOperation.__init__(made, properties=self.properties, regions=regions)
        return made


def walk(op: Operation) -> list[Operation]:
    """``op`` and all operations inside it, in order, as they are now."""
    found = [op]
    for inner in inside(op):
        found += walk(inner) if inner.regions else (inner,)
    return found
