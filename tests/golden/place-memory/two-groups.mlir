// lower-tiles,place-memory
// Two equal groups through a scratch tensor: one template, two places, one wait between them.
tile.program {
  %x = tile.tensor "x" input : !tile.dram<[4, 16] i8>
  %s = tile.tensor "s" scratch : !tile.dram<[4, 16] i8>
  %y = tile.tensor "y" output : !tile.dram<[4, 16] i8>
  tile.core 0 {
    tile.group "first" (%a = %x : !tile.dram<[4, 16] i8>, %b = %s : !tile.dram<[4, 16] i8>) {
      %r = tile.buffer "r" : !tile.buffer<spm 64 x 1>
      %t = tile.acquire %r : !tile.buffer<spm 64 x 1>
      tile.load %t, %a map <i8 0 extents [4, 16] strides [16, 1] box [4, 16] spm [16, 1]> at <[0, 0]> on ld0 : !tile.dram<[4, 16] i8>
      tile.store %t, %b map <i8 0 extents [4, 16] strides [16, 1] box [4, 16] spm [16, 1]> at <[0, 0]> : !tile.dram<[4, 16] i8>
      tile.release %r : !tile.buffer<spm 64 x 1>
    }
    tile.group "second" (%a = %s : !tile.dram<[4, 16] i8>, %b = %y : !tile.dram<[4, 16] i8>) {
      %r = tile.buffer "r" : !tile.buffer<spm 64 x 1>
      %t = tile.acquire %r : !tile.buffer<spm 64 x 1>
      tile.load %t, %a map <i8 0 extents [4, 16] strides [16, 1] box [4, 16] spm [16, 1]> at <[0, 0]> on ld0 : !tile.dram<[4, 16] i8>
      tile.store %t, %b map <i8 0 extents [4, 16] strides [16, 1] box [4, 16] spm [16, 1]> at <[0, 0]> : !tile.dram<[4, 16] i8>
      tile.release %r : !tile.buffer<spm 64 x 1>
    }
  }
}
