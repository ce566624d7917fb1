"""Random tile programs: lowered, placed, emitted; no race, and the values of program order."""

import numpy as np
from hypothesis import given

from npuc.compiler.dialects import tile
from npuc.compiler.xdsl_api import Block, SSAValue
from npuc.emulator.machine import RunOptions, run
from npuc.emulator.strict import check
from tests.compiler.backend.tile_programs import WIDTH, tile_programs
from tests.e2e.tile_files import Int8s, compile_tile, make_context, parse

ROWS = 8


class Interpreter:
    """Executes a tile program in program order, one row per slot."""

    def __init__(self, x: Int8s) -> None:
        zeros = np.zeros_like(x)
        self.tensors: dict[str, Int8s] = {"x": x, "m": zeros.copy(), "y": zeros.copy()}
        self.values: dict[SSAValue, int] = {}
        self.rings: dict[SSAValue, list[Int8s]] = {}
        self.turns: dict[SSAValue, list[int]] = {}
        self.slots: dict[SSAValue, Int8s] = {}
        self.names: dict[SSAValue, str] = {}

    def program(self, program: tile.ProgramOp) -> Int8s:
        for op in program.walk():
            if isinstance(op, tile.TensorOp):
                self.names[op.tensor] = op.tensor_name.data
            if isinstance(op, tile.GroupOp):
                for inner, outer in zip(op.body.block.args, op.arguments, strict=True):
                    self.names[inner] = self.names[outer]
                self.block(op.body.block)
        return self.tensors["y"]

    def block(self, block: Block) -> None:
        for op in block.ops:
            if isinstance(op, tile.ForOp):
                for trip in range(op.lower.data, op.upper.data, op.step.data):
                    self.values[op.induction] = trip
                    self.block(op.body.block)
            elif isinstance(op, tile.AffineOp):
                self.values[op.result] = op.constant.data
            elif isinstance(op, tile.BufferOp):
                self.rings[op.buffer] = [
                    np.zeros(WIDTH, np.int8) for _ in range(op.buffer.type.data.depth)
                ]
                self.turns[op.buffer] = [0, 0]
            else:
                self.step(op)

    def step(self, op: object) -> None:
        if isinstance(op, tile.AcquireOp | tile.HeldOp):
            ring, turns = self.rings[op.buffer], self.turns[op.buffer]
            number = turns[0] if isinstance(op, tile.AcquireOp) else turns[1] + op.age.data
            self.slots[op.slot] = ring[number % len(ring)]
            turns[0] += isinstance(op, tile.AcquireOp)
        elif isinstance(op, tile.ReleaseOp):
            self.turns[op.buffer][1] += 1
        elif isinstance(op, tile.VexecOp):
            a, b = (self.slots[s].astype(np.int32) for s in op.ins)
            self.slots[op.outs[0]][:] = np.clip(a + b, -128, 127)
        elif isinstance(op, tile.LoadOp | tile.StoreOp):
            self.transfer(op)

    def transfer(self, op: "tile.LoadOp | tile.StoreOp") -> None:
        number, constant = op.place.data.coordinates[0]
        row = constant + (self.values[op.dynamics[number - 1]] if number else 0)
        tensor, slot = self.tensors[self.names[op.tensor]], self.slots[op.slot]
        if isinstance(op, tile.LoadOp):
            first, width = op.place.data.offset[1], op.map.data.box[1]
            columns = slice(first, first + width)
            slot[columns] = tensor[row, columns]
        elif row < ROWS:
            tensor[row] = slot


@given(tile_programs())
def test_no_race_and_program_order(text: str) -> None:
    x = np.random.default_rng(3).integers(-128, 128, (ROWS, WIDTH)).astype(np.int8)
    ctx = make_context()
    (program,) = parse(ctx, text).body.block.ops
    assert isinstance(program, tile.ProgramOp)
    binary = compile_tile(ctx, text)
    result = run(binary, {"x": x}, RunOptions(path="plain"))
    races = [f for f in check(binary, result.streams) if f.instruction >= 0]
    assert not races, "\n".join(map(str, races))
    np.testing.assert_array_equal(result.outputs["y"], Interpreter(x).program(program))
