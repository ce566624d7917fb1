"""What all passes share: a pattern that finds, checks with a reason, rewrites, and says so.

``match`` returns what it found or None; ``check`` the reason for which the pattern declines, or
None; ``rewrite`` changes the IR and returns one sentence for the remark.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from npuc.compiler.consts import ConstStore
from npuc.compiler.context import NpuContext
from npuc.compiler.dialects.nn import ConstantOp, GenericOp
from npuc.compiler.locations import fused, node_names
from npuc.compiler.ops.interface import Array
from npuc.compiler.ops.structured import Made
from npuc.compiler.xdsl_api import (
    Attribute,
    Block,
    GreedyRewritePatternApplier,
    IRDLOperation,
    ModuleOp,
    Operation,
    PatternRewriter,
    PatternRewriteWalker,
    Region,
    RewritePattern,
    SSAValue,
    UnknownLoc,
)

Found = TypeVar("Found")


class Pattern(RewritePattern, ABC, Generic[Found]):
    """One rewrite of a pass; ``source`` is the pass's name in remarks."""

    def __init__(self, ctx: NpuContext, source: str) -> None:
        self.ctx = ctx
        self.source = source
        self._declined: set[tuple[tuple[str, ...], str]] = set()

    @abstractmethod
    def match(self, op: Operation) -> Found | None:
        """What the rewrite needs to know, or None where ``op`` is not its business."""

    def check(self, found: Found) -> str | None:
        """Why the rewrite declines, or None."""
        return None

    @abstractmethod
    def rewrite(self, op: Operation, found: Found, rewriter: PatternRewriter) -> str:
        """Change the IR; one sentence on what was done."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        found = self.match(op)
        if found is None:
            return
        nodes = node_names(op)
        reason = self.check(found)
        if reason is None:
            self.ctx.remarks.applied(self.source, self.rewrite(op, found, rewriter), nodes)
        elif (nodes, reason) not in self._declined:
            self._declined.add((nodes, reason))
            self.ctx.remarks.missed(self.source, reason, nodes)


def apply_patterns(module: ModuleOp, patterns: Sequence[RewritePattern]) -> None:
    """Rewrite until no pattern finds anything; operations that become unused are removed."""
    applier = GreedyRewritePatternApplier(list(patterns), dce_enabled=True)
    _Walker(applier).rewrite_module(module)


class _Walker(PatternRewriteWalker):
    """Leaves out the scalar operations in generics, most of all, and the constants in use.

    No pattern is about them.
    """

    def _populate_worklist(self, op: Operation | Region | Block) -> None:
        assert isinstance(op, Region)
        for found in _last_first(op):  # the list is a stack
            if type(found) is not ConstantOp or found.result.first_use is None:
                self._worklist.push(found)


def _last_first(region: Region) -> Iterator[Operation]:
    """The operations of ``region``, each after all that follow it and all inside it."""
    for op in (op for block in reversed(region.blocks) for op in reversed(block.ops)):
        for inner in () if type(op) is GenericOp else reversed(op.regions):
            yield from _last_first(inner)
        yield op


def replace(
    rewriter: PatternRewriter,
    op: Operation,
    made: Made | Operation,
    also: Sequence[Operation] = (),
) -> None:
    """Replace ``op`` by ``made``, located at ``op`` and at the operations ``also``."""
    if isinstance(made, Operation):
        made = Made((made,), made.results[0])
    location = fused(*also, op)
    for new in made.ops:
        if isinstance(new.location, UnknownLoc):
            new.location = location
    rewriter.replace(op, list(made.ops), [made.result])


def rebuilt(
    op: Operation,
    operands: Sequence[SSAValue | Sequence[SSAValue]],
    result_type: Attribute,
    properties: Mapping[str, Attribute],
) -> Operation:
    """An operation of the class of ``op`` with other operands, result type and properties."""
    assert isinstance(op, IRDLOperation)
    return type(op).build(
        operands=operands, result_types=[result_type], properties=dict(properties)
    )


def single_user(value: SSAValue) -> Operation | None:
    """The one operation that uses ``value``, once; None where there is not exactly one use."""
    uses = list(value.uses)
    return uses[0].operation if len(uses) == 1 else None


def defining(value: SSAValue, kind: type[Operation]) -> Operation | None:
    """The operation that makes ``value`` when it is of ``kind``."""
    owner = value.owner
    return owner if isinstance(owner, kind) else None


def constant_array(value: SSAValue, consts: ConstStore) -> Array | None:
    """The array of a constant value, else None."""
    owner = value.owner
    return consts.get(owner.key.data) if isinstance(owner, ConstantOp) else None


def users(value: SSAValue) -> list[Operation]:
    """The operations that use ``value``."""
    return [use.operation for use in value.uses]
