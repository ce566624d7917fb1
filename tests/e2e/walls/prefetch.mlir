// Two 3x3 convolutions, 8x8x8 -> 8x8x8 -> 8x8x16, padding 1, one group each.
//
// While the first group computes its rows, ld1 brings the second group's weights, an eighth per
// row, into a buffer that outlives the group; the second group finds them there.
!x = !tile.dram<[8, 8, 8] i8>
!w1 = !tile.dram<[3, 3, 8, 8] i8>
!w2 = !tile.dram<[3, 3, 8, 16] i8>
!y = !tile.dram<[8, 8, 16] i8>
!next = !tile.buffer<spm 1152 x 1>
!rows = !tile.buffer<spm 240 x 2>
!b1 = !tile.buffer<spm 576 x 1>
!acc1 = !tile.buffer<acc 256 x 2>
!acc2 = !tile.buffer<acc 512 x 2>
!out1 = !tile.buffer<spm 64 x 2>
!out2 = !tile.buffer<spm 128 x 2>

#in_rows = #tile.view<i8 spm 0 extents [1, 1, 8, 3, 3, 8] strides [0, 0, 8, 80, 8, 1]>
#acc_row1 = #tile.view<i32 acc 0 extents [1, 1, 8, 8] strides [0, 0, 32, 4]>
#kernel1 = #tile.view<i8 spm 0 extents [3, 3, 8, 8] strides [192, 64, 8, 1]>
#acc_points1 = #tile.view<i32 acc 0 extents [1, 1, 8, 8, 1, 1, 1] strides [0, 0, 32, 4, 0, 0, 0]>
#i8_points1 = #tile.view<i8 spm 0 extents [1, 1, 8, 8, 1, 1, 1] strides [0, 0, 8, 1, 0, 0, 0]>
#acc_row2 = #tile.view<i32 acc 0 extents [1, 1, 8, 16] strides [0, 0, 64, 4]>
#kernel2 = #tile.view<i8 spm 0 extents [3, 3, 8, 16] strides [384, 128, 16, 1]>
#acc_points2 = #tile.view<i32 acc 0 extents [1, 1, 8, 16, 1, 1, 1] strides [0, 0, 64, 4, 0, 0, 0]>
#i8_points2 = #tile.view<i8 spm 0 extents [1, 1, 8, 16, 1, 1, 1] strides [0, 0, 16, 1, 0, 0, 0]>

tile.program {
  %x = tile.tensor "x" input : !x
  %w1 = tile.tensor "w1" constant key "w1" : !w1
  %w2 = tile.tensor "w2" constant key "w2" : !w2
  %mid = tile.tensor "mid" scratch : !x
  %y = tile.tensor "y" output : !y
  tile.core 0 {
    %next = tile.buffer "next" : !next
    tile.group "conv1" (%xa = %x : !x, %wa = %w1 : !w1, %wn = %w2 : !w2, %ya = %mid : !x, %ahead = %next : !next) {
      %rows = tile.buffer "x" : !rows
      %b = tile.buffer "w" : !b1
      %acc = tile.buffer "acc" : !acc1
      %out = tile.buffer "y" : !out1
      %k = tile.acquire %b : !b1
      tile.load %k, %wa map <i8 0 extents [576] strides [1] box [576] spm [1]> at <[0]> on ld1 : !w1
      %n = tile.acquire %ahead : !next
      tile.for %r = 0 to 8 step 1 {
        %part = tile.affine [144], 0 (%r)
        tile.load %n, %wn dynamic(%part) map <i8 0 extents [1152] strides [1] box [144] spm [1]> at <[0 ?1] offset 0 ?1> on ld1 : !w2
        %above = tile.affine [1], -1 (%r)
        %in = tile.acquire %rows : !rows
        tile.load %in, %xa dynamic(%above) map <i8 0 extents [8, 8, 8] strides [64, 8, 1] box [3, 10, 8] spm [80, 8, 1]> at <[0 ?1, -1, 0]> on ld0 : !x
        %a = tile.acquire %acc : !acc1
        tile.mma %a, %in, %k views [#acc_row1, #in_rows, #kernel1]
        tile.release %rows : !rows
        %o = tile.acquire %out : !out1
        tile.vexec kernel <in [i] body [i2f(0), mulf(16, 8), maxf(17, 9)] epilogue [] out [18]> params <1006632960, 0> ins(%a) outs(%o) views [#acc_points1, #i8_points1]
        tile.release %acc : !acc1
        tile.store %o, %ya dynamic(%r) map <i8 0 extents [8, 8, 8] strides [64, 8, 1] box [1, 8, 8] spm [64, 8, 1]> at <[0 ?1, 0, 0]> : !x
        tile.release %out : !out1
      }
      tile.release %b : !b1
    }
    tile.group "conv2" (%xa = %mid : !x, %ya = %y : !y, %ready = %next : !next) {
      %rows = tile.buffer "x" : !rows
      %acc = tile.buffer "acc" : !acc2
      %out = tile.buffer "y" : !out2
      %k = tile.held %ready[0] : !next
      tile.for %r = 0 to 8 step 1 {
        %above = tile.affine [1], -1 (%r)
        %in = tile.acquire %rows : !rows
        tile.load %in, %xa dynamic(%above) map <i8 0 extents [8, 8, 8] strides [64, 8, 1] box [3, 10, 8] spm [80, 8, 1]> at <[0 ?1, -1, 0]> on ld0 : !x
        %a = tile.acquire %acc : !acc2
        tile.mma %a, %in, %k views [#acc_row2, #in_rows, #kernel2]
        tile.release %rows : !rows
        %o = tile.acquire %out : !out2
        tile.vexec kernel <in [i] body [i2f(0), mulf(16, 8)] epilogue [] out [17]> params <1006632960> ins(%a) outs(%o) views [#acc_points2, #i8_points2]
        tile.release %acc : !acc2
        tile.store %o, %ya dynamic(%r) map <i8 0 extents [8, 8, 16] strides [128, 16, 1] box [1, 8, 16] spm [128, 16, 1]> at <[0 ?1, 0, 0]> : !y
        tile.release %out : !out2
      }
      tile.release %ready : !next
    }
  }
}
