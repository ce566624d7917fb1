// sink-dequantize
// const s = f32 0.5
// const z = i8 3
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x4x4x2xi8>):
    %d = nn.dequantize %x scale "s" zero_point "z" : tensor<1x4x4x2xi8> -> tensor<1x4x4x2xf32> loc("dq0")
    %p = nn.pool2d "max" %d kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x4x4x2xf32> -> tensor<1x2x2x2xf32> loc("pool0")
    %r = nn.reshape %p : tensor<1x2x2x2xf32> -> tensor<1x8xf32> loc("flatten0")
    %q = nn.quantize %r scale "s" zero_point "z" : tensor<1x8xf32> -> tensor<1x8xi8> loc("q0")
    nn.return %q : tensor<1x8xi8>
  }
}
