"""One ``npu`` operation to one instruction, with descriptors interned in tables."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from npuc.compiler.dialects import npu
from npuc.compiler.xdsl_api import Block, Operation
from npuc.isa.descriptors import Kernel, Params, TensorMap, View
from npuc.isa.descriptors.kernel import MAX_INPUTS, MAX_OUTPUTS
from npuc.isa.descriptors.tensor_map import MAX_RANK
from npuc.isa.instructions import BY_MNEMONIC, NO_INDEX, Engine, Instruction
from npuc.isa.instructions.dma import QUEUES, Gather, Load, Store
from npuc.isa.instructions.flow import Halt, Loop
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Nop
from npuc.isa.instructions.vector import Vexec

T = TypeVar("T", bound=Hashable)


@dataclass
class Table(Generic[T]):
    """Descriptors of one kind: equal ones have one index, in order of first use."""

    rows: dict[T, int] = field(default_factory=dict)

    def index(self, row: T) -> int:
        """The index of ``row``, appended if it is new."""
        return self.rows.setdefault(row, len(self.rows))


@dataclass
class Tables:
    """The descriptor tables of a program."""

    views: Table[View] = field(default_factory=Table[View])
    maps: Table[TensorMap] = field(default_factory=Table[TensorMap])
    kernels: Table[Kernel] = field(default_factory=Table[Kernel])
    params: Table[Params] = field(default_factory=Table[Params])

    def instructions(self, block: Block) -> list[Instruction]:
        """The instructions of ``block``, loops flattened behind their ``loop``."""
        result: list[Instruction] = []
        for op in block.ops:
            if type(op) is npu.LoopOp:
                body = self.instructions(op.body.block)
                result += [Loop(rc=0, count=op.count.data, body=len(body)), *body]
            else:
                result.append(self.instruction(op))
        return result

    def instruction(self, op: Operation) -> Instruction:
        """The instruction of an operation without region."""
        if isinstance(op, npu.ScalarOp):
            scalar = BY_MNEMONIC[op.mnemonic.data]
            return scalar(rd=op.rd.data, ra=op.ra.data, rb=op.rb.data, imm=op.imm.data)  # type: ignore[call-arg]  # a Scalar: its verifier has checked it
        if type(op) is npu.VexecOp:
            return self._vexec(op)
        if type(op) is npu.MmaOp:
            acc, a, w = (self.views.index(v.data) for v in op.views.data)
            order = op.order.data
            return Mma(
                acc,
                a,
                w,
                int(op.accumulate is not None),
                op.condition.data if op.condition else 0,
                waits=order.waits,
                increment=order.increment,
            )
        if type(op) is npu.NopOp:
            order = op.order.data
            return Nop(
                Engine[op.queue.data.value].value, waits=order.waits, increment=order.increment
            )
        if isinstance(op, npu.LdOp | npu.StOp):
            return self._transfer(op)
        if isinstance(op, npu.GatherOp):
            return self._gather(op)
        assert isinstance(op, npu.HaltOp), f"{op.name} is no instruction"
        return Halt()

    def _transfer(self, op: npu.LdOp | npu.StOp) -> Instruction:
        place, order = op.place.data, op.order.data
        coordinates = (*place.coordinates, *[(0, 0)] * MAX_RANK)[:MAX_RANK]
        register, address = place.offset
        names = [name for d in range(MAX_RANK) for name in (f"rc{d}", f"i{d}")]
        operands = dict(zip(names, (n for pair in coordinates for n in pair), strict=True))
        operands |= {"map": self.maps.index(op.map.data), "rs": register, "spm": address}
        if isinstance(op, npu.LdOp):
            operands["queue"] = QUEUES.index(op.queue.data.value)
            operands["cores"] = 0 if op.cores is None else op.cores.data
        cls = Load if isinstance(op, npu.LdOp) else Store
        return cls(**operands, waits=order.waits, increment=order.increment)

    def _gather(self, op: npu.GatherOp) -> Instruction:
        place, order = op.place.data, op.order.data
        first, *others = place.coordinates
        operands = {"rc0": first[0], "i0": first[1]}
        for d, (register, constant) in enumerate(others, start=1):
            assert constant == 0, "only the first coordinate of a gather has a constant"
            operands[f"rc{d}"] = register
        register, address = place.offset
        return Gather(
            map=self.maps.index(op.map.data),
            index=self.views.index(op.view.data),
            rs=register,
            spm=address,
            step=op.map.data.spm_strides[0],
            queue=QUEUES.index(op.queue.data.value),
            **operands,
            waits=order.waits,
            increment=order.increment,
        )

    def _vexec(self, op: npu.VexecOp) -> Instruction:
        kernel, order = op.kernel.data, op.order.data
        indices = [self.views.index(v.data) for v in op.views.data]
        ins, outs = indices[: len(kernel.inputs)], indices[len(kernel.inputs) :]
        ins += [NO_INDEX] * (MAX_INPUTS - len(ins))
        outs += [NO_INDEX] * (MAX_OUTPUTS - len(outs))
        params = NO_INDEX if op.params is None else self.params.index(op.params.data)
        return Vexec(
            self.kernels.index(kernel),
            params,
            *ins,
            *outs,
            waits=order.waits,
            increment=order.increment,
        )
