"""The tile dialect: text round trips and what the verifier refuses."""

import pytest

from npuc.compiler.dialects.tile import Tile
from npuc.compiler.xdsl_api import Builtin, Context, ModuleOp, Parser, VerifyException

TEXT = """
tile.program {
  %x = tile.tensor "x" input scale 0.5 : f64 : !tile.dram<[8, 4] i8>
  %w = tile.tensor "w" constant key "k0" : !tile.dram<[4, 4] i8>
  %y = tile.tensor "y" output : !tile.dram<[8, 4] i8>
  tile.core 0 {
    tile.group "g" (%a = %x : !tile.dram<[8, 4] i8>, %b = %w : !tile.dram<[4, 4] i8>,
                    %c = %y : !tile.dram<[8, 4] i8>) {
      %xs = tile.buffer "x" : !tile.buffer<spm 16 x 2>
      %ws = tile.buffer "w" : !tile.buffer<spm 16 x 1>
      %acc = tile.buffer "acc" : !tile.buffer<acc 64 x 2>
      %ys = tile.buffer "y" : !tile.buffer<spm 16 x 2>
      %wt = tile.acquire %ws : !tile.buffer<spm 16 x 1>
      tile.load %wt, %b map <i8 0 extents [4, 4] strides [4, 1] box [4, 4] spm [4, 1]> at <[0, 0]> on ld1 : !tile.dram<[4, 4] i8>
      tile.for %i = 0 to 2 step 1 {
        %r = tile.affine [4], -1 (%i)
        %m = tile.max %r, 0
        %n = tile.min %m, 4
        %s = tile.acquire %xs : !tile.buffer<spm 16 x 2>
        tile.load %s, %a dynamic(%r) map <i8 0 extents [8, 4] strides [4, 1] box [4, 4] spm [4, 1] fill 3> at <[1 ?1, 0]> on ld0 : !tile.dram<[8, 4] i8>
        %t = tile.acquire %acc : !tile.buffer<acc 64 x 2>
        tile.mma %t, %s, %wt accumulate_if %i dynamic(%n) views [#tile.view<i32 acc 0 extents [1, 1, 4 ?1, 4] strides [0, 0, 16, 4]>, #tile.view<i8 spm 0 extents [1, 1, 4 ?1, 1, 1, 4] strides [0, 0, 4, 0, 0, 1] window [0, 0, 1, 0, 0, 0] at -1 ?1 below 8 fill 7>, #tile.view<i8 spm 0 extents [1, 1, 4, 4] strides [0, 0, 4, 1]>]
        tile.release %xs : !tile.buffer<spm 16 x 2>
        %o = tile.acquire %ys : !tile.buffer<spm 16 x 2>
        tile.vexec kernel <in [i] body [i2f(0), mulf(16, 8), roundf(17)] epilogue [] out [18]> params <1056964608 ?1> ins(%t) outs(%o) dynamic(%n) views [#tile.view<i32 acc 0 extents [1, 1, 4, 4, 1, 1, 1] strides [0, 0, 16, 4, 0, 0, 0]>, #tile.view<i8 spm 0 extents [1, 1, 4, 4, 1, 1, 1] strides [0, 0, 4, 1, 0, 0, 0]>]
        tile.release %acc : !tile.buffer<acc 64 x 2>
        %h = tile.held %ys[0] : !tile.buffer<spm 16 x 2>
        tile.store %h, %c dynamic(%i) map <i8 0 extents [8, 4] strides [4, 1] box [4, 4] spm [4, 1]> at <[0 ?1, 0]> : !tile.dram<[8, 4] i8>
        tile.release %ys : !tile.buffer<spm 16 x 2>
      }
      %gs = tile.buffer "rows" : !tile.buffer<spm 16 x 1>
      %is = tile.buffer "list" : !tile.buffer<spm 16 x 1>
      %gt = tile.acquire %gs : !tile.buffer<spm 16 x 1>
      %it = tile.acquire %is : !tile.buffer<spm 16 x 1>
      tile.gather %gt, %a by %it map <i8 0 extents [8, 4] strides [4, 1] box [1, 4] spm [4, 1]> at <[0, 0]> view <i32 spm 0 extents [4] strides [4]> on ld0 : !tile.dram<[8, 4] i8>
      tile.release %gs : !tile.buffer<spm 16 x 1>
      tile.release %is : !tile.buffer<spm 16 x 1>
      tile.signal "done" on st
      tile.await "done" on ld0
      tile.release %ws : !tile.buffer<spm 16 x 1>
    }
    %all = tile.buffer "all" at #builtin.int<64> : !tile.buffer<spm 16 x 1>
    tile.group "all" (%h = %all : !tile.buffer<spm 16 x 1>, %b = %w : !tile.dram<[4, 4] i8>) {
      %s = tile.acquire %h : !tile.buffer<spm 16 x 1>
      tile.load %s, %b map <i8 0 extents [4, 4] strides [4, 1] box [4, 4] spm [4, 1]> at <[0, 0]> on ld0 to cores #builtin.int<1> : !tile.dram<[4, 4] i8>
      tile.release %h : !tile.buffer<spm 16 x 1>
    }
  }
}
"""  # noqa: E501  # one operation, one line


OTHER_CORE = """
  tile.core 1 {
    %o = tile.buffer "all" at #builtin.int<0> : !tile.buffer<spm 16 x 1>
  }
"""


def parse(text: str) -> ModuleOp:
    ctx = Context()
    ctx.load_dialect(Builtin)
    ctx.load_dialect(Tile)
    return Parser(ctx, text).parse_module()


def test_text_round_trip() -> None:
    module = parse(TEXT)
    module.verify()
    again = parse(str(module))
    again.verify()
    assert str(again) == str(module)
    assert module.is_structurally_equivalent(again)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('constant key "k0"', "constant", "constants have a key"),
        (
            "box [4, 4] spm [4, 1]> at <[0, 0]>",
            "box [5, 4] spm [4, 1]> at <[0, 0]>",
            r"bytes \[0, 20\) of a slot of 16",
        ),
        ("[1 ?1, 0]", "[1 ?2, 0]", "operand number 2"),
        ("[1 ?1, 0]", "[1 ?1]", "one coordinate per dimension"),
        ("params <1056964608 ?1>", "params <0 ?9>", "operand number 9"),
        (
            "view<i32 acc 0 extents [1, 1, 4 ?1,",
            "view<i32 spm 0 extents [1, 1, 4 ?1,",
            "a view of spm on a slot in acc",
        ),
        ("step 1 {", "step 0 {", "step of a loop"),
        ("%ys[0]", "%ys[2]", "age is not below"),
        ("on ld1 :", "on st :", "ld0 or ld1"),
        ("strides [4]> on ld0", "strides [4]> on mxu", "a gather stands on ld0 or ld1"),
        ("view <i32 spm 0 extents [4]", "view <f32 spm 0 extents [4]", "a list of i32"),
        ("view <i32 spm 0 extents [4]", "view <i32 spm 4 extents [4]", r"bytes \[4, 20\)"),
        ("box [1, 4] spm [4, 1]", "box [2, 4] spm [4, 1]", "boxes of one row"),
        ("box [1, 4] spm [4, 1]", "box [1, 4] spm [5, 1]", r"a box covers bytes \[0, 19\)"),
        ("      tile.release %ws : !tile.buffer<spm 16 x 1>\n", "", "released"),
        ("to cores #builtin.int<1>", "to cores #builtin.int<0>", "one core at least"),
        ("to cores #builtin.int<1>", "to cores #builtin.int<3>", "the program does not have"),
        (
            "  }\n}\n",
            "  }\n" + OTHER_CORE + "}\n",
            "the same in all cores",
        ),
        ('"all" at #builtin.int<64>', '"all" at #builtin.int<-64>', "0 or more"),
        ('"all" at #builtin.int<64>', '"all"', "a buffer that has an address"),
        ('buffer "x" :', 'buffer "x" at #builtin.int<0> :', "an address stands in a core"),
        ("%h = tile.held", "tile.release %ys : !tile.buffer<spm 16 x 2>\n%h = tile.held", "ring"),
    ],
)
def test_verifier_refuses(old: str, new: str, message: str) -> None:
    assert TEXT.count(old) >= 1
    module = parse(TEXT.replace(old, new, 1))
    with pytest.raises(VerifyException, match=message):
        module.verify()
