"""compose-generics: structured operations that feed each other become one vector kernel.

An elementwise producer moves into the body of its consumer; an elementwise consumer of a reduction
moves into its epilogue. What the tensor between them did to a value, rounding and saturation, is
kept as scalar steps, so no bit changes.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from npuc.compiler.context import NpuContext, npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.index_forms import IndexForm, dim_form
from npuc.compiler.dialects.nn import Conv2dOp, GenericOp, MatmulOp
from npuc.compiler.dialects.nn_generic import Fill
from npuc.compiler.ops.scalar_ops import (
    Body,
    KernelSize,
    evaluate_block,
    kernel_size,
    kernel_use,
)
from npuc.compiler.passes.generic_parts import (
    Frame,
    Input,
    Inputs,
    can_pass_through,
    domain_of,
    element_count,
    inlined,
    inputs_of,
    point_count,
    substituted,
    through_memory,
    used_arguments,
)
from npuc.compiler.passes.rewriting import (
    Pattern,
    apply_patterns,
    constant_array,
    replace,
    users,
)
from npuc.compiler.passes.simplify_scalars import simplify_scalars
from npuc.compiler.xdsl_api import (
    Block,
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    Region,
    SSAValue,
)
from npuc.isa.dtypes import DType
from npuc.isa.numerics.convert import load_convert, store_convert

# A producer of at most this many micro-ops may be computed more than once.
CHEAP_OPS = 3
# through_memory adds at most this many micro-ops and parameters.
_CONVERSION = KernelSize(0, 4, 2)


@dataclass(frozen=True)
class _Pair:
    """``producer`` feeds operand ``position`` of ``consumer``."""

    producer: GenericOp
    consumer: GenericOp
    position: int

    @property
    def stored(self) -> DType:
        """Element type of the tensor between them."""
        return dtype_of(self.producer.result)


def accumulators(op: GenericOp) -> list[SSAValue]:
    """Operands of ``op`` that a contraction makes for it alone."""
    return [
        value
        for value in dict.fromkeys(op.inputs)
        if isinstance(value.owner, Conv2dOp | MatmulOp) and len(users(value)) == 1
    ]


def _is_bijective_read(pair: _Pair) -> bool:
    """Whether the consumer reads each element of the tensor exactly once, at its own point."""
    space = pair.consumer.space
    forms = space.forms[pair.position]
    dims = [form.single_dim for form in forms if form.dims]
    if None in dims or len(set(dims)) != len(dims):
        return False
    parallel = [d for d in dims if d is not None and d < space.parallel]
    extents = [space.extents[d] for d in parallel]
    return len(parallel) == len(dims) and (
        int(np.prod(extents)) == element_count(pair.producer.result) == point_count(pair.consumer)
    )


class _Composition(Pattern[_Pair]):
    """Finds a generic operand of a generic; subclasses say which, when and how.

    Without ``may_widen`` a consumer that only dequantises is left for its own users.
    """

    may_widen = True

    def __init__(self, ctx: NpuContext, source: str) -> None:
        super().__init__(ctx, source)
        self._tried: dict[tuple[_Pair | SSAValue, ...], str | None] = {}
        self._uses: dict[GenericOp, tuple[KernelSize, tuple[int, ...]]] = {}

    def match(self, op: Operation) -> _Pair | None:
        if not isinstance(op, GenericOp):
            return None
        for position, value in enumerate(op.inputs):
            if isinstance(value.owner, GenericOp):
                pair = _Pair(value.owner, op, position)
                if self.suits(pair) and self.check(pair) is None:
                    return pair
        declined = (
            _Pair(v.owner, op, i) for i, v in enumerate(op.inputs) if isinstance(v.owner, GenericOp)
        )
        return next((pair for pair in declined if self.suits(pair)), None)

    @abstractmethod
    def suits(self, pair: _Pair) -> bool:
        """Whether the pair is of this pattern's kind."""

    @abstractmethod
    def fused(self, pair: _Pair) -> GenericOp:
        """The one generic that stands for both."""

    def simplified(self, pair: _Pair) -> GenericOp:
        """``fused``, in as few scalar steps as we know."""
        result = self.fused(pair)
        simplify_scalars(result, self._is_finite)
        return result

    def excess(self, pair: _Pair) -> str | None:
        """The limit of a kernel that the two exceed together; built, once, when in doubt."""
        if self._estimated_excess(pair) is None:
            return None
        tried = (pair, *pair.producer.operands, *pair.consumer.operands)
        if tried not in self._tried:
            trial = self.simplified(pair)
            self._tried[tried] = kernel_size(trial).excess
            trial.erase()
        return self._tried[tried]

    def kernel_use(self, op: GenericOp) -> tuple[KernelSize, tuple[int, ...]]:
        """``kernel_use`` of ``op``, whose body no pattern changes: asked for with every partner."""
        if op not in self._uses:
            self._uses[op] = kernel_use(op)
        return self._uses[op]

    def _estimated_excess(self, pair: _Pair) -> str | None:
        (producer, words), (consumer, more) = map(self.kernel_use, (pair.producer, pair.consumer))
        entries = {(e.value, e.domain) for e in inputs_of(pair.producer)}
        entries |= {(e.value, e.domain) for e in inputs_of(pair.consumer)}
        entries -= {(pair.producer.result, domain) for domain in "fi"}
        converts = pair.stored not in (DType.f32, DType.i32)
        copies = 2 if pair.consumer.epilogue_block is not None else 1
        return KernelSize(
            len(entries),
            copies * producer.ops + consumer.ops + _CONVERSION.ops * (1 + converts) // 2,
            len({*words, *more}) + _CONVERSION.params * converts,
        ).excess

    def _is_finite(self, value: SSAValue) -> bool:
        array = constant_array(value, self.ctx.consts)
        return array is not None and bool(np.isfinite(np.asarray(array, np.float32)).all())

    def rewrite(self, op: Operation, found: _Pair, rewriter: PatternRewriter) -> str:
        replace(rewriter, op, self.simplified(found), [found.producer])
        return "two structured operations became one kernel"


class ProducerIntoConsumer(_Composition):
    """g(f(x)) == (g after f)(x), f elementwise."""

    def suits(self, pair: _Pair) -> bool:
        if not self.may_widen and _widens_for_generics(pair):
            return False
        return pair.producer.reduction_name is None

    def check(self, found: _Pair) -> str | None:
        producer = found.producer
        consumers = users(producer.result)
        is_cheap = self.kernel_use(producer)[0].ops <= CHEAP_OPS
        if not can_pass_through(found.stored) or producer.fills is not None:
            return (
                "not fused: the tensor between has an element type or padding that must be stored"
            )
        if len(set(consumers)) > 1 and not (
            is_cheap and _narrows(producer) and all(isinstance(u, GenericOp) for u in consumers)
        ):
            return "not fused: the value has several users and is worth storing"
        if point_count(found.consumer) > point_count(producer) and not is_cheap:
            return "not fused: the consumer would compute the value several times"
        if accumulators(producer) and (
            accumulators(found.consumer) or not _is_bijective_read(found)
        ):
            return "not fused: the epilogue of a contraction has one result for each accumulator"
        if found.consumer.space.fills[found.position] is not None and _fill_before(found) is None:
            return "not fused: no value of the source tensor stands for the padding"
        return self.excess(found)

    def fused(self, pair: _Pair) -> GenericOp:
        frame, inputs = Frame.of(pair.consumer), Inputs()
        kept = [
            None if entry.value is pair.producer.result else inputs.add(entry)
            for entry in inputs_of(pair.consumer)
        ]
        sources: dict[int, list[int]] = {}
        for position, value in enumerate(pair.consumer.inputs):
            if value is pair.producer.result:
                at = _Pair(pair.producer, pair.consumer, position)
                sources[position] = [inputs.add(entry) for entry in _composed_inputs(at)]
        merge = _Merge(pair, inputs, kept, sources)
        body = merge.region(pair.consumer.body.block, list(range(len(kept))), frame, None)
        epilogue: Region | None = None
        if pair.consumer.epilogue_block is not None:
            positions = list(pair.consumer.space.epilogue_inputs)
            seen = frame.epilogue_positions(inputs)
            epilogue = merge.region(pair.consumer.epilogue_block, positions, frame, seen)
        return frame.build(inputs, body, epilogue)


@dataclass(frozen=True)
class _Merge:
    """Copies a block of the consumer with the producer's body where its value is used.

    ``kept[p]`` is the new position of the consumer's input p; ``sources[p]`` those of the
    producer's inputs where input p was the producer's result.
    """

    pair: _Pair
    inputs: Inputs
    kept: list[int | None]
    sources: dict[int, list[int]]

    def region(
        self, block: Block, positions: list[int], frame: Frame, seen: list[int] | None
    ) -> Region:
        """The new body (``seen`` None) or epilogue (``seen``: the inputs that it gets)."""
        letter = "" if seen is None else domain_of(block.args[0].type)
        body = Body(letter + self.inputs.domains(seen))
        offset = len(letter)
        places = list(range(len(self.inputs.entries))) if seen is None else seen
        argument = {place: body.args[offset + i] for i, place in enumerate(places)}
        is_used = used_arguments(block)
        arguments: list[SSAValue | None] = list(body.args[:offset])
        for i, position in enumerate(positions):
            arguments.append(
                self._argument(body, position, argument) if is_used[offset + i] else None
            )
        return body.done(*inlined(body, block, arguments))

    def _argument(self, body: Body, position: int, argument: dict[int, SSAValue]) -> SSAValue:
        new = self.kept[position]
        if new is not None:
            return argument[new]
        values = [argument[source] for source in self.sources[position]]
        (value,) = inlined(body, self.pair.producer.body.block, list(values))
        domain = inputs_of(self.pair.consumer)[position].domain
        return through_memory(body, value, self.pair.stored, domain)


def _composed_inputs(pair: _Pair) -> list[Input]:
    """The producer's inputs, indexed by the consumer's dimensions."""
    producer, consumer = pair.producer.space, pair.consumer.space
    read = consumer.forms[pair.position]
    of_dim: dict[int, IndexForm] = {}
    for form, outer in zip(producer.result_forms, read, strict=True):
        dim = form.single_dim
        if dim is not None:
            of_dim[dim] = outer
    fill = _fill_before(pair) if consumer.fills[pair.position] is not None else None
    rank = len(consumer.extents)
    return [
        Input(entry.value, substituted(entry.forms, rank, of_dim), fill, entry.domain)
        for entry in inputs_of(pair.producer)
    ]


def _fill_before(pair: _Pair) -> Fill:
    """The value of the producer's one 8-bit input that it turns into the consumer's fill."""
    fill = pair.consumer.space.fills[pair.position]
    entries = inputs_of(pair.producer)
    if len(entries) != 1 or dtype_of(entries[0].value) is not DType.i8 or fill is None:
        return None
    value, space = entries[0].value, pair.producer.space
    if [f.single_dim for f in entries[0].forms] != [f.single_dim for f in space.result_forms]:
        return None
    if shape_of(value) != shape_of(pair.producer.result):
        return None
    candidates = np.arange(-128, 128, dtype=np.int8)
    loaded = load_convert(candidates, "f32" if entries[0].domain == "f" else "i32")
    (results,) = evaluate_block(pair.producer.body.block, [loaded])
    stored = store_convert(np.broadcast_to(results, candidates.shape), pair.stored.numpy)  # type: ignore[arg-type]
    wanted = np.asarray(fill).astype(pair.stored.numpy)
    equal = np.flatnonzero(stored == wanted)
    return int(candidates[equal[0]]) if equal.size else None


def _widens_for_generics(pair: _Pair) -> bool:
    """Whether the consumer only makes more bytes of the tensor, for generics that could do it.

    Such a consumer (a dequantisation) goes into its users first: the tensor stays small.
    """
    result = pair.consumer.result
    more = element_count(result) * dtype_of(result).bytes
    less = element_count(pair.producer.result) * pair.stored.bytes
    followers = users(result)
    return more > less and bool(followers) and all(isinstance(u, GenericOp) for u in followers)


def _narrows(producer: GenericOp) -> bool:
    """Whether the producer's result has more bytes than what it reads."""
    read = sum(element_count(v) * dtype_of(v).bytes for v in dict.fromkeys(producer.inputs))
    return read < element_count(producer.result) * dtype_of(producer.result).bytes


class ConsumerIntoEpilogue(_Composition):
    """g(reduce(x)) == reduce(x) with g in the epilogue, g elementwise."""

    def suits(self, pair: _Pair) -> bool:
        if not self.may_widen and _widens_for_generics(pair):
            return False
        return pair.producer.reduction_name is not None and pair.consumer.reduction_name is None

    def check(self, found: _Pair) -> str | None:
        if len(users(found.producer.result)) > 1:
            return "not fused: the reduced value has several users"
        if not can_pass_through(found.stored):
            return "not fused: the tensor between has an element type that must be stored"
        if found.consumer.space.fills[found.position] is not None or not _is_bijective_read(found):
            return "not fused: the consumer reads a reduced value more than once"
        if accumulators(found.consumer):
            return "not fused: the consumer is the epilogue of a contraction"
        return self.excess(found)

    def fused(self, pair: _Pair) -> GenericOp:
        producer, consumer = pair.producer.space, pair.consumer.space
        inputs = Inputs()
        for entry in inputs_of(pair.producer):
            inputs.entries.append(entry)
        rank, of_dim = len(producer.extents), {}
        read = consumer.forms[pair.position]
        for form, outer in zip(producer.result_forms, read, strict=True):
            if form.single_dim is not None and outer.single_dim is not None:
                of_dim[outer.single_dim] = dim_form(rank, form.single_dim)
        places = [
            None
            if i == pair.position
            else inputs.add(Input(e.value, substituted(e.forms, rank, of_dim), e.fill, e.domain))
            for i, e in enumerate(inputs_of(pair.consumer))
        ]
        frame = Frame(
            producer.extents,
            producer.parallel,
            substituted(consumer.result_forms, rank, of_dim),
            pair.consumer.result.type,
            pair.producer.reduction_name,
        )
        body = Body(inputs.domains())
        old_count = len(pair.producer.inputs)
        yielded = inlined(body, pair.producer.body.block, list(body.args[:old_count]))
        region = body.done(*yielded)
        return frame.build(inputs, region, self._epilogue(pair, inputs, frame, places))

    def _epilogue(
        self, pair: _Pair, inputs: Inputs, frame: Frame, places: list[int | None]
    ) -> Region:
        seen = frame.epilogue_positions(inputs)
        reduced = pair.producer.epilogue_block
        letter = "f" if (pair.producer.reduction_name or "").endswith("f") else "i"
        epilogue = Body(letter + inputs.domains(seen))
        argument = dict(zip(seen, epilogue.args[1:], strict=True))
        value = epilogue.args[0]
        if reduced is not None:
            old = [argument[i] for i in pair.producer.space.epilogue_inputs]
            (value,) = inlined(epilogue, reduced, [value, *old])
        domain = inputs_of(pair.consumer)[pair.position].domain
        value = through_memory(epilogue, value, pair.stored, domain)
        arguments = [value if place is None else argument[place] for place in places]
        return epilogue.done(*inlined(epilogue, pair.consumer.body.block, list(arguments)))


@dataclass(frozen=True)
class ComposeGenerics(ModulePass):
    """Fuse structured operations; nothing at optimisation level 0."""

    name = "compose-generics"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        if npu.options.level == 0:
            return
        for may_widen in (False, True):
            into_consumer = ProducerIntoConsumer(npu, self.name)
            into_consumer.may_widen = may_widen
            into_epilogue = ConsumerIntoEpilogue(npu, self.name)
            into_epilogue.may_widen = may_widen
            apply_patterns(op, [into_consumer, into_epilogue])
