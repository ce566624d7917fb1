// sink-dequantize
// const s = f32 0.5
// const t = f32 0.25
// const z = i8 3
builtin.module {
  nn.graph "g" args ["x", "y"] results ["m", "a"] {
  ^bb0(%x : tensor<1x4x4x2xi8>, %y : tensor<1x4x4x3xi8>):
    %dx = nn.dequantize %x scale "s" zero_point "z" : tensor<1x4x4x2xi8> -> tensor<1x4x4x2xf32> loc("dqx")
    %dy = nn.dequantize %y scale "t" : tensor<1x4x4x3xi8> -> tensor<1x4x4x3xf32> loc("dqy")
    %c = nn.concat %dx, %dy axis 3 : tensor<1x4x4x2xf32>, tensor<1x4x4x3xf32> -> tensor<1x4x4x5xf32> loc("cat0")
    %p = nn.pool2d "max" %c kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x4x4x5xf32> -> tensor<1x2x2x5xf32> loc("pool0")
    %q = nn.quantize %p scale "s" zero_point "z" : tensor<1x2x2x5xf32> -> tensor<1x2x2x5xi8> loc("q0")
    %e = nn.concat %dx, %dy axis 3 : tensor<1x4x4x2xf32>, tensor<1x4x4x3xf32> -> tensor<1x4x4x5xf32> loc("cat1")
    %v = nn.pool2d "average" %e kernel [4, 4] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x4x4x5xf32> -> tensor<1x1x1x5xf32> loc("pool1")
    nn.return %q, %v : tensor<1x2x2x5xi8>, tensor<1x1x1x5xf32>
  }
}
