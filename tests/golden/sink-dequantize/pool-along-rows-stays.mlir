// sink-dequantize
// const s = f32 0.5
// const t = f32 0.25
builtin.module {
  nn.graph "g" args ["x", "y"] results ["m"] {
  ^bb0(%x : tensor<1x4x4x2xi8>, %y : tensor<1x4x4x2xi8>):
    %dx = nn.dequantize %x scale "s" : tensor<1x4x4x2xi8> -> tensor<1x4x4x2xf32> loc("dqx")
    %dy = nn.dequantize %y scale "t" : tensor<1x4x4x2xi8> -> tensor<1x4x4x2xf32> loc("dqy")
    %c = nn.concat %dx, %dy axis 1 : tensor<1x4x4x2xf32>, tensor<1x4x4x2xf32> -> tensor<1x8x4x2xf32> loc("cat0")
    %p = nn.pool2d "max" %c kernel [3, 3] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x8x4x2xf32> -> tensor<1x6x2x2xf32> loc("pool0")
    nn.return %p : tensor<1x6x2x2xf32>
  }
}
