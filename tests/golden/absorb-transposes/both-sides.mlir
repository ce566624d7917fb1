// lower-elementwise,absorb-transposes
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x3x4x5xf32>):
    %t = nn.transpose %x perm [0, 2, 3, 1] : tensor<1x3x4x5xf32> -> tensor<1x4x5x3xf32> loc("t0")
    %r = nn.elementwise "relu" %t : tensor<1x4x5x3xf32> -> tensor<1x4x5x3xf32> loc("relu0")
    %u = nn.transpose %r perm [1, 0, 2, 3] : tensor<1x4x5x3xf32> -> tensor<4x1x5x3xf32> loc("t1")
    nn.return %u : tensor<4x1x5x3xf32>
  }
}
