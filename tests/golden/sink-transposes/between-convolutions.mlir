// sink-transposes
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x3x4x4xf32>):
    %w = nn.constant "w" : tensor<3x3x3x3xf32>
    %n = nn.transpose %x perm [0, 2, 3, 1] : tensor<1x3x4x4xf32> -> tensor<1x4x4x3xf32> loc("conv0")
    %a = nn.conv2d %n, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] : tensor<1x4x4x3xf32>, tensor<3x3x3x3xf32> -> tensor<1x4x4x3xf32> loc("conv0")
    %t = nn.transpose %a perm [0, 3, 1, 2] : tensor<1x4x4x3xf32> -> tensor<1x3x4x4xf32> loc("conv0")
    %r = nn.elementwise "relu" %t : tensor<1x3x4x4xf32> -> tensor<1x3x4x4xf32> loc("relu0")
    %c = nn.constant "c" : tensor<3x1x1xf32>
    %s = nn.elementwise "mul" %r, %c : tensor<1x3x4x4xf32>, tensor<3x1x1xf32> -> tensor<1x3x4x4xf32> loc("mul0")
    %m = nn.transpose %s perm [0, 2, 3, 1] : tensor<1x3x4x4xf32> -> tensor<1x4x4x3xf32> loc("conv1")
    %b = nn.conv2d %m, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] : tensor<1x4x4x3xf32>, tensor<3x3x3x3xf32> -> tensor<1x4x4x3xf32> loc("conv1")
    %u = nn.transpose %b perm [0, 3, 1, 2] : tensor<1x4x4x3xf32> -> tensor<1x3x4x4xf32> loc("conv1")
    nn.return %u : tensor<1x3x4x4xf32>
  }
}
