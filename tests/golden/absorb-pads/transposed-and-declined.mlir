// absorb-pads
builtin.module {
  nn.graph "g" args ["x"] results ["y", "z"] {
  ^bb0(%x : tensor<1x2x4x4xf32>):
    %w = nn.constant "w" : tensor<3x3x2x1xf32>
    %p = nn.pad %x low [0, 0, 1, 0] high [0, 0, 0, 2] value 0.0 : f32 : tensor<1x2x4x4xf32> -> tensor<1x2x5x6xf32> loc("pad0")
    %t = nn.transpose %p perm [0, 2, 3, 1] : tensor<1x2x5x6xf32> -> tensor<1x5x6x2xf32> loc("t0")
    %y = nn.conv2d %t, %w strides [1, 1] pads [0, 1, 0, 0] dilations [1, 1] : tensor<1x5x6x2xf32>, tensor<3x3x2x1xf32> -> tensor<1x3x5x1xf32> loc("conv0")
    %u = nn.transpose %x perm [0, 2, 3, 1] : tensor<1x2x4x4xf32> -> tensor<1x4x4x2xf32> loc("t1")
    %q = nn.pad %u low [0, 1, 1, 0] high [0, 0, 0, 0] value 2.0 : f32 : tensor<1x4x4x2xf32> -> tensor<1x5x5x2xf32> loc("pad1")
    %z = nn.conv2d %q, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x5x5x2xf32>, tensor<3x3x2x1xf32> -> tensor<1x3x3x1xf32> loc("conv1")
    nn.return %y, %z : tensor<1x3x5x1xf32>, tensor<1x3x3x1xf32>
  }
}
