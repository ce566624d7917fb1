// lower-elementwise
builtin.module {
  nn.graph "g" args ["x", "f"] results ["y", "k"] {
  ^bb0(%x : tensor<1x4x4x2xi8>, %f : tensor<2x3xf32>):
    %w = nn.constant "w" : tensor<3x3x1x2xi8>
    %c = nn.conv2d %x, %w strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] groups 2 pad_value 3 : tensor<1x4x4x2xi8>, tensor<3x3x1x2xi8> -> tensor<1x2x2x2xi32> loc("conv0")
    %r = nn.elementwise "sigmoid" %f : tensor<2x3xf32> -> tensor<2x3xf32> loc("sigmoid0")
    %k = nn.clip %r high 0.75 : tensor<2x3xf32> -> tensor<2x3xf32> loc("clip0")
    nn.return %c, %k : tensor<1x2x2x2xi32>, tensor<2x3xf32>
  }
}
