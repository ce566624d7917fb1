"""The static check of rings: along every path, slots held stay between none and the depth.

Loop bodies run with a state that changes by the same amount each time, so that the first and the
last iteration decide.
"""

from dataclasses import dataclass

from npuc.compiler.dialects.tile_commands import AcquireOp, HeldOp, ReleaseOp
from npuc.compiler.dialects.tile_structure import BufferOp, ForOp
from npuc.compiler.xdsl_api import Block, SSAValue, VerifyException

Held = dict[SSAValue, int]


@dataclass(frozen=True)
class _Rings:
    """Depth of each ring that the block declares; other rings are their owner's concern."""

    depths: dict[SSAValue, int]

    def run(self, block: Block, held: Held) -> None:
        """Update ``held`` by one run of ``block``."""
        for op in block.ops:
            if type(op) is ForOp:
                self._run_loop(op, held)
            elif type(op) is AcquireOp:
                self._change(op.buffer, held, 1)
            elif type(op) is ReleaseOp:
                self._change(op.buffer, held, -1)
            elif type(op) is HeldOp and held.get(op.buffer, op.age.data + 1) <= op.age.data:
                raise VerifyException(
                    f"slot {op.age.data} of a ring that holds {held[op.buffer]} slots is named"
                )

    def _run_loop(self, loop: ForOp, held: Held) -> None:
        if loop.trips == 0:
            return
        before = dict(held)
        self.run(loop.body.block, held)
        change = {ring: held[ring] - before[ring] for ring in held}
        if loop.trips > 1 and any(change.values()):
            held.update({r: held[r] + change[r] * (loop.trips - 2) for r in held})
            self.run(loop.body.block, held)

    def _change(self, ring: SSAValue, held: Held, step: int) -> None:
        if ring not in self.depths:
            return
        held[ring] += step
        if not 0 <= held[ring] <= self.depths[ring]:
            what = "acquired while all its slots are held" if step > 0 else "released but none held"
            raise VerifyException(f"a ring of depth {self.depths[ring]} is {what}")


def check_rings(block: Block) -> None:
    """Raise VerifyException unless rings that ``block`` declares are balanced at its end."""
    rings: dict[SSAValue, int] = {
        op.buffer: op.buffer.type.data.depth for op in block.ops if type(op) is BufferOp
    }
    held: Held = dict.fromkeys(rings, 0)
    _Rings(rings).run(block, held)
    left = [ring.owner for ring, count in held.items() if count]
    if left:
        names = ", ".join(op.buffer_name.data for op in left if isinstance(op, BufferOp))
        raise VerifyException(f"slots are not released at the end of their group: {names}")
