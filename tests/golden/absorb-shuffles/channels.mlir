// lower-elementwise,absorb-shuffles
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x4x5x6xf32>):
    %s = nn.reshape %x : tensor<1x4x5x6xf32> -> tensor<4x5x2x3xf32> loc("s0")
    %t = nn.transpose %s perm [0, 1, 3, 2] : tensor<4x5x2x3xf32> -> tensor<4x5x3x2xf32> loc("t0")
    %u = nn.reshape %t : tensor<4x5x3x2xf32> -> tensor<1x4x5x6xf32> loc("u0")
    %r = nn.elementwise "relu" %u : tensor<1x4x5x6xf32> -> tensor<1x4x5x6xf32> loc("relu0")
    nn.return %r : tensor<1x4x5x6xf32>
  }
}
