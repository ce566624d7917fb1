// decompose
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x4x4x2xf32>):
    %p = nn.pool2d "average" %x kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] : tensor<1x4x4x2xf32> -> tensor<1x2x2x2xf32> loc("pool0")
    %y = nn.reduce "mean" %p axes [1, 2] : tensor<1x2x2x2xf32> -> tensor<1x1x1x2xf32> loc("mean0")
    nn.return %y : tensor<1x1x1x2xf32>
  }
}
