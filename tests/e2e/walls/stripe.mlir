// A depth-first stripe over two 3x3 convolutions, 12x12x4 -> 12x12x8 -> 12x12x8, padding 1.
//
// Rows of the first convolution live in a ring of SPM rows; each step makes one new row and uses
// the three youngest for one row of the second. The intermediate tensor never is in DRAM.
// The first two slots stand for rows -2 and -1, which windows mask; step -1 makes row 0 and
// stores a row outside the output, which the store drops.
!x = !tile.dram<[12, 12, 4] i8>
!w1 = !tile.dram<[3, 3, 4, 8] i8>
!w2 = !tile.dram<[3, 3, 8, 8] i8>
!y = !tile.dram<[12, 12, 8] i8>
!rows = !tile.buffer<spm 168 x 2>
!b1 = !tile.buffer<spm 288 x 1>
!b2 = !tile.buffer<spm 576 x 1>
!acc = !tile.buffer<acc 384 x 2>
!mid = !tile.buffer<spm 96 x 4>
!out = !tile.buffer<spm 96 x 2>

#acc_row = #tile.view<i32 acc 0 extents [1, 1, 12, 8] strides [0, 0, 32, 4]>
#in_rows = #tile.view<i8 spm 0 extents [1, 1, 12, 3, 3, 4] strides [0, 0, 4, 56, 4, 1]>
#kernel1 = #tile.view<i8 spm 0 extents [3, 3, 4, 8] strides [96, 32, 8, 1]>
#mid_row = #tile.view<i8 spm -8 extents [1, 1, 12, 1, 3, 8] strides [0, 0, 8, 0, 8, 1] window [0, 0, 1, 0, 1, 0] at -1 below 12 window [0, 0, 0, 0, 0, 0] at 0 ?1 below 12>
#kernel2_0 = #tile.view<i8 spm 0 extents [1, 3, 8, 8] strides [0, 64, 8, 1]>
#kernel2_1 = #tile.view<i8 spm 192 extents [1, 3, 8, 8] strides [0, 64, 8, 1]>
#kernel2_2 = #tile.view<i8 spm 384 extents [1, 3, 8, 8] strides [0, 64, 8, 1]>
#acc_points = #tile.view<i32 acc 0 extents [1, 1, 12, 8, 1, 1, 1] strides [0, 0, 32, 4, 0, 0, 0]>
#i8_points = #tile.view<i8 spm 0 extents [1, 1, 12, 8, 1, 1, 1] strides [0, 0, 8, 1, 0, 0, 0]>

tile.program {
  %x = tile.tensor "x" input : !x
  %w1 = tile.tensor "w1" constant key "w1" : !w1
  %w2 = tile.tensor "w2" constant key "w2" : !w2
  %y = tile.tensor "y" output : !y
  tile.core 0 {
    tile.group "conv1+conv2" (%xa = %x : !x, %wa = %w1 : !w1, %wb = %w2 : !w2, %ya = %y : !y) {
      %rows = tile.buffer "x" : !rows
      %b1 = tile.buffer "w1" : !b1
      %b2 = tile.buffer "w2" : !b2
      %acc1 = tile.buffer "acc1" : !acc
      %acc2 = tile.buffer "acc2" : !acc
      %mid = tile.buffer "mid" : !mid
      %out = tile.buffer "y" : !out
      %k1 = tile.acquire %b1 : !b1
      tile.load %k1, %wa map <i8 0 extents [288] strides [1] box [288] spm [1]> at <[0]> on ld1 : !w1
      %k2 = tile.acquire %b2 : !b2
      tile.load %k2, %wb map <i8 0 extents [576] strides [1] box [576] spm [1]> at <[0]> on ld1 : !w2
      %before2 = tile.acquire %mid : !mid
      %before1 = tile.acquire %mid : !mid
      tile.for %r = -1 to 12 step 1 {
        // Row r + 1 of the first convolution, from input rows r to r + 2.
        %in = tile.acquire %rows : !rows
        tile.load %in, %xa dynamic(%r) map <i8 0 extents [12, 12, 4] strides [48, 4, 1] box [3, 14, 4] spm [56, 4, 1]> at <[0 ?1, -1, 0]> on ld0 : !x
        %a1 = tile.acquire %acc1 : !acc
        tile.mma %a1, %in, %k1 views [#acc_row, #in_rows, #kernel1]
        tile.release %rows : !rows
        %row = tile.acquire %mid : !mid
        tile.vexec kernel <in [i] body [i2f(0), mulf(16, 8), maxf(17, 9)] epilogue [] out [18]> params <1015021568, 0> ins(%a1) outs(%row) views [#acc_points, #i8_points]
        tile.release %acc1 : !acc
        // Row r of the second convolution, from rows r - 1 to r + 1 of the first.
        %above = tile.affine [1], -1 (%r)
        %below = tile.affine [1], 1 (%r)
        %m0 = tile.held %mid[0] : !mid
        %m1 = tile.held %mid[1] : !mid
        %m2 = tile.held %mid[2] : !mid
        %a2 = tile.acquire %acc2 : !acc
        tile.mma %a2, %m0, %k2 dynamic(%above) views [#acc_row, #mid_row, #kernel2_0]
        tile.mma %a2, %m1, %k2 dynamic(%r) views [#acc_row, #mid_row, #kernel2_1] {accumulate}
        tile.mma %a2, %m2, %k2 dynamic(%below) views [#acc_row, #mid_row, #kernel2_2] {accumulate}
        tile.release %mid : !mid
        %o = tile.acquire %out : !out
        tile.vexec kernel <in [i] body [i2f(0), mulf(16, 8)] epilogue [] out [17]> params <1006632960> ins(%a2) outs(%o) views [#acc_points, #i8_points]
        tile.release %acc2 : !acc
        tile.store %o, %ya dynamic(%r) map <i8 0 extents [12, 12, 8] strides [96, 8, 1] box [1, 12, 8] spm [96, 8, 1]> at <[0 ?1, 0, 0]> : !y
        tile.release %out : !out
      }
      tile.release %mid : !mid
      tile.release %mid : !mid
      tile.release %b1 : !b1
      tile.release %b2 : !b2
    }
  }
}
