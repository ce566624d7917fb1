"""The roof of layers on tiny (8 x 8 cells, 8 lanes, 4 bytes a cycle), against sums by hand."""

from __future__ import annotations

from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.roof import Roof, roof_of
from npuc.compiler.xdsl_api import ModuleOp
from npuc.isa.target import load_target
from tests.compiler.ops.case import I32, Builder


def roof(b: Builder, output: str) -> Roof:
    found: list[Roof] = []

    def watch(stage: str, module: ModuleOp) -> None:
        if stage == "partition":
            found.append(roof_of(module, load_target("tiny")))

    options = CompileOptions("tiny", stop_after="partition")
    model = b.model(output).SerializeToString()
    compile_model(model, options, observers=Observers(after_stage=watch))
    (only,) = found
    return only


def test_convolution() -> None:
    """3 x 3 over 8 x 8 x 3 to 16 channels: 64 * 16 * 27 MACs at 64 / 8 a cycle for float32."""
    b = Builder(1)
    result = roof(
        b, b.node("Conv", b.input((1, 3, 8, 8)), b.weights(16, 3, 3, 3), pads=[1, 1, 1, 1])
    )
    (group,) = [g for g in result.groups if g.mac_cycles]
    assert (group.macs, group.mac_cycles) == (27_648, 3_456)
    assert group.weight_cycles == 16 * 27 * 4 // 4
    assert group.vector_cycles == 64 * 16 // 8  # each output is moved once
    assert group.cycles == 3_456
    assert result.io_bytes == (3 * 64 + 16 * 64) * 4
    assert result.compulsory_bytes == result.io_bytes + 16 * 27 * 4
    assert result.cycles == 3_456  # the transfers of 4,864 bytes take 1,216
    assert result.whole_model_cycles == 6_592 // 4  # all MACs at the peak of int8 take 432


def test_depthwise_convolution() -> None:
    """3 x 3 over 8 x 8 x 8: 512 * 9 products on 8 lanes, multiply and add in one pass."""
    b = Builder(2)
    w = b.weights(8, 1, 3, 3)
    result = roof(b, b.node("Conv", b.input((1, 8, 8, 8)), w, pads=[1, 1, 1, 1], group=8))
    (group,) = result.groups
    assert (group.macs, group.mac_cycles) == (4_608, 0)
    assert group.weight_cycles == 8 * 9 * 4 // 4
    assert group.vector_cycles == group.cycles == 4_608 // 8
    assert result.cycles == 2 * 512 * 4 // 4  # input and output take longer


def test_of_a_table_only_the_rows_that_are_gathered_must_be_read() -> None:
    b = Builder(4)
    table = b.weights(1000, 6)
    by_five = b.node("Gather", table, b.input((5,), I32))
    by_two = b.node("Gather", table, b.input((2,), I32))
    result = roof(b, b.node("Concat", by_five, by_two, axis=0))
    assert result.io_bytes == (5 + 2 + 7 * 6) * 4
    assert result.compulsory_bytes == result.io_bytes + 7 * 6 * 4


def test_fully_connected_layer() -> None:
    """64 to 10: reading 650 words of weights and bias bounds it."""
    b = Builder(3)
    w, bias = b.weights(10, 64), b.weights(10)
    result = roof(b, b.node("Gemm", b.input((1, 64)), w, bias, transB=1))
    (group,) = result.groups
    assert (group.macs, group.mac_cycles) == (640, 80)
    assert group.weight_cycles == group.cycles == 650
    assert group.vector_cycles == 2  # ten additions on 8 lanes
    assert result.cycles == 650
    assert result.compulsory_bytes == (640 + 10 + 64 + 10) * 4
