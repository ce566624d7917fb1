// fold-scales
// const a = f32 [2.0, 3.0]
// const b = f32 [0.5, -1.0]
// const c = f32 [4.0, 0.25]
builtin.module {
  nn.graph "g" args ["x"] results ["y", "z"] {
  ^bb0(%x : tensor<1x4x4x2xf32>):
    %w = nn.constant "w" : tensor<1x1x2x2xf32>
    %a = nn.constant "a" : tensor<2xf32>
    %b = nn.constant "b" : tensor<2xf32>
    %c = nn.constant "c" : tensor<2xf32>
    %acc = nn.conv2d %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x4x4x2xf32>, tensor<1x1x2x2xf32> -> tensor<1x4x4x2xf32> loc("conv0")
    %m = nn.elementwise "mul" %acc, %a : tensor<1x4x4x2xf32>, tensor<2xf32> -> tensor<1x4x4x2xf32> loc("bn0")
    %s = nn.elementwise "add" %m, %b : tensor<1x4x4x2xf32>, tensor<2xf32> -> tensor<1x4x4x2xf32> loc("bn0")
    %y = nn.elementwise "mul" %s, %c : tensor<1x4x4x2xf32>, tensor<2xf32> -> tensor<1x4x4x2xf32> loc("scale0")
    %z = nn.elementwise "mul" %x, %a : tensor<1x4x4x2xf32>, tensor<2xf32> -> tensor<1x4x4x2xf32> loc("alone")
    nn.return %y, %z : tensor<1x4x4x2xf32>, tensor<1x4x4x2xf32>
  }
}
