// lower-tiles
// A ring of three rows: each step loads one row ahead and adds the two oldest.
tile.program {
  %x = tile.tensor "x" input : !tile.dram<[8, 16] i8>
  %y = tile.tensor "y" output : !tile.dram<[8, 16] i8>
  tile.core 0 {
    tile.group "add" (%xa = %x : !tile.dram<[8, 16] i8>, %ya = %y : !tile.dram<[8, 16] i8>) {
      %rows = tile.buffer "x" : !tile.buffer<spm 16 x 3>
      %out = tile.buffer "y" : !tile.buffer<spm 16 x 2>
      %zero = tile.affine [], 0 ()
      %first = tile.acquire %rows : !tile.buffer<spm 16 x 3>
      tile.load %first, %xa dynamic(%zero) map <i8 0 extents [8, 16] strides [16, 1] box [1, 16] spm [16, 1]> at <[0 ?1, 0]> on ld0 : !tile.dram<[8, 16] i8>
      tile.for %r = 0 to 7 step 1 {
        %row = tile.acquire %rows : !tile.buffer<spm 16 x 3>
        tile.load %row, %xa dynamic(%r) map <i8 0 extents [8, 16] strides [16, 1] box [1, 16] spm [16, 1]> at <[1 ?1, 0]> on ld0 : !tile.dram<[8, 16] i8>
        %a = tile.held %rows[0] : !tile.buffer<spm 16 x 3>
        %b = tile.held %rows[1] : !tile.buffer<spm 16 x 3>
        %o = tile.acquire %out : !tile.buffer<spm 16 x 2>
        tile.vexec kernel <in [i, i] body [addi(0, 1)] epilogue [] out [16]> ins(%a, %b) outs(%o) views [#tile.view<i8 spm 0 extents [1, 1, 1, 16, 1, 1, 1] strides [0, 0, 0, 1, 0, 0, 0]>, #tile.view<i8 spm 0 extents [1, 1, 1, 16, 1, 1, 1] strides [0, 0, 0, 1, 0, 0, 0]>, #tile.view<i8 spm 0 extents [1, 1, 1, 16, 1, 1, 1] strides [0, 0, 0, 1, 0, 0, 0]>]
        tile.release %rows : !tile.buffer<spm 16 x 3>
        tile.store %o, %ya dynamic(%r) map <i8 0 extents [8, 16] strides [16, 1] box [1, 16] spm [16, 1]> at <[0 ?1, 0]> : !tile.dram<[8, 16] i8>
        tile.release %out : !tile.buffer<spm 16 x 2>
      }
      tile.release %rows : !tile.buffer<spm 16 x 3>
    }
  }
}
