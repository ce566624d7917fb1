// split-groups
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x4x4x4xf32>):
    %w = nn.constant "w" : tensor<1x1x2x6xf32>
    %b = nn.constant "b" : tensor<6xf32>
    %acc = nn.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] groups 2 : tensor<1x4x4x4xf32>, tensor<1x1x2x6xf32> -> tensor<1x4x4x6xf32> loc("conv0")
    %s = nn.elementwise "add" %acc, %b : tensor<1x4x4x6xf32>, tensor<6xf32> -> tensor<1x4x4x6xf32> loc("add0")
    %y = nn.clip %s low 0.0 : tensor<1x4x4x6xf32> -> tensor<1x4x4x6xf32> loc("relu0")
    nn.return %y : tensor<1x4x4x6xf32>
  }
}
