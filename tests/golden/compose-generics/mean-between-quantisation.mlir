// decompose,lower-quantization,compose-generics
// const s = f32 0.5
// const z = i8 3
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<1x4x4x2xi8>):
    %d = nn.dequantize %x scale "s" zero_point "z" : tensor<1x4x4x2xi8> -> tensor<1x4x4x2xf32> loc("dq0")
    %p = nn.pool2d "average" %d kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] counts_padding 1 : tensor<1x4x4x2xf32> -> tensor<1x4x4x2xf32> loc("pool0")
    %q = nn.quantize %p scale "s" zero_point "z" : tensor<1x4x4x2xf32> -> tensor<1x4x4x2xi8> loc("q0")
    nn.return %q : tensor<1x4x4x2xi8>
  }
}
