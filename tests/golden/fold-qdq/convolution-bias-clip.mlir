// fold-qdq
// const xs = f32 0.5
// const xz = i8 3
// const ws = f32 [0.25, 0.5]
// const b = f32 [1.0, -2.0]
// const ys = f32 0.125
// const yz = i8 -20
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x4x4x3xi8>):
    %w = nn.constant "w" : tensor<3x3x3x2xi8>
    %b = nn.constant "b" : tensor<2xf32>
    %xd = nn.dequantize %x scale "xs" zero_point "xz" : tensor<1x4x4x3xi8> -> tensor<1x4x4x3xf32> loc("x_dq")
    %wd = nn.dequantize %w scale "ws" axis 3 : tensor<3x3x3x2xi8> -> tensor<3x3x3x2xf32> loc("w_dq")
    %c = nn.conv2d %xd, %wd strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] : tensor<1x4x4x3xf32>, tensor<3x3x3x2xf32> -> tensor<1x4x4x2xf32> loc("conv0")
    %a = nn.elementwise "add" %c, %b : tensor<1x4x4x2xf32>, tensor<2xf32> -> tensor<1x4x4x2xf32> loc("conv0")
    %k = nn.clip %a low 0.0 high 6.0 : tensor<1x4x4x2xf32> -> tensor<1x4x4x2xf32> loc("clip0")
    %q = nn.quantize %k scale "ys" zero_point "yz" : tensor<1x4x4x2xf32> -> tensor<1x4x4x2xi8> loc("y_q")
    nn.return %q : tensor<1x4x4x2xi8>
  }
}
