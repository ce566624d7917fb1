"""The npu dialect: text round trips and what the verifier refuses."""

import pytest

from npuc.compiler.dialects.npu import Npu, unplaced
from npuc.compiler.dialects.tile import Tile
from npuc.compiler.xdsl_api import Builtin, Context, ModuleOp, ParseError, Parser, VerifyException

TEXT = """
npu.program {
  npu.tensor "x" input : <[8, 4] i8>
  npu.tensor "w" constant key "k0" at #builtin.int<64> : <[4, 4] i8>
  npu.core 0 {
    npu.buffer "g/x" : !tile.buffer<spm 16 x 2> in 0 to 1 at 128
    npu.group "g" tensors ["x", "w"] buffers ["g/x"] usage <[0, 1, 0, 0, 1, 1] [buffer 0 ld0 writes 1, tensor 0 ld0 reads 1] [mxu ld0 1, vpu mxu 1]> {
      npu.scalar add r6 = r0, r0, -3
      npu.loop 4 {
        npu.ld ld0 map <input i8 2 extents [8, 4] strides [4, 1] box [4, 4] spm [4, 1] fill 3> at <[1 ?6, 0] offset 16 ?7> of <[0] tensor 0> to cores #builtin.int<5> order <increment 0 waits [0 mxu 0 -1 ?4, 1 st 2 7]>
        npu.nop vpu order <waits [0 ld0 0 1]>
      }
      npu.gather ld1 map <input i8 2 extents [8, 4] strides [4, 1] box [1, 4] spm [4, 1]> at <[0, 0 ?6] offset 16> view <i32 spm 64 extents [4 ?7] strides [4]> of <[0, 0] tensor 0> order <increment 0>
      npu.mma views [#tile.view<i32 acc 0 extents [1, 1, 4, 4] strides [0, 0, 16, 4]>, #tile.view<i8 spm 0 ?8 extents [1, 1, 4 ?9, 1, 1, 4] strides [0, 0, 4, 0, 0, 1]>, #tile.view<i8 spm 0 extents [1, 1, 4, 4] strides [0, 0, 4, 1]>] condition #builtin.int<5> order <increment 0> {accumulate}
      npu.vexec kernel <in [i] body [i2f(0)] epilogue [] out [16]> params <1 ?3> views [#tile.view<i32 acc 0 extents [1, 1, 4, 4, 1, 1, 1] strides [0, 0, 16, 4, 0, 0, 0]>, #tile.view<i8 spm 0 extents [1, 1, 4, 4, 1, 1, 1] strides [0, 0, 4, 1, 0, 0, 0]>] order <>
      npu.st map <output i8 0 extents [8, 4] strides [4, 1] box [4, 4] spm [4, 1]> at <[0, 0]> order <increment 0>
    }
    npu.halt
  }
}
"""  # noqa: E501  # one instruction, one line


def parse(text: str) -> ModuleOp:
    ctx = Context()
    for dialect in (Builtin, Tile, Npu):
        ctx.load_dialect(dialect)
    return Parser(ctx, text).parse_module()


def test_text_round_trip() -> None:
    module = parse(TEXT)
    module.verify()
    again = parse(str(module))
    assert str(again) == str(module)
    assert module.is_structurally_equivalent(again)


def test_unplaced_operations_are_found() -> None:
    assert sorted(op.name for op in unplaced(parse(TEXT))) == ["npu.gather", "npu.ld", "npu.tensor"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("add r6", "frob r6", "unknown scalar"),
        ("add r6", "loop r6", "unknown scalar"),
        ("r6 = r0", "r32 = r0", "out of range"),
    ],
)
def test_verifier_refuses(old: str, new: str, message: str) -> None:
    module = parse(TEXT.replace(old, new, 1))
    with pytest.raises(VerifyException, match=message):
        module.verify()


def test_registers_are_written_with_r() -> None:
    with pytest.raises(ParseError, match="a register is expected"):
        parse(TEXT.replace("r6 = r0", "x6 = r0", 1))
