// sink-transposes
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x5x5x12xf32>):
    %n = nn.transpose %x perm [0, 3, 1, 2] : tensor<1x5x5x12xf32> -> tensor<1x12x5x5xf32> loc("conv0")
    %s = nn.reshape %n : tensor<1x12x5x5xf32> -> tensor<1x4x3x5x5xf32> loc("split")
    %t = nn.transpose %s perm [0, 2, 1, 3, 4] : tensor<1x4x3x5x5xf32> -> tensor<1x3x4x5x5xf32> loc("shuffle")
    %j = nn.reshape %t : tensor<1x3x4x5x5xf32> -> tensor<1x12x5x5xf32> loc("join")
    %y = nn.transpose %j perm [0, 2, 3, 1] : tensor<1x12x5x5xf32> -> tensor<1x5x5x12xf32> loc("conv1")
    nn.return %y : tensor<1x5x5x12xf32>
  }
}
