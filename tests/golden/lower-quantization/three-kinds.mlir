// lower-quantization
// const s = f32 0.5
// const z = i8 3
// const sc = f32 [0.25, 0.5]
builtin.module {
  nn.graph "g" args ["x", "b"] results ["y", "z"] {
  ^bb0(%x : tensor<2x4xf32>, %b : tensor<2xi32>):
    %q = nn.quantize %x scale "s" zero_point "z" : tensor<2x4xf32> -> tensor<2x4xi8> loc("q0")
    %w = nn.constant "w" : tensor<4x2xi8>
    %c = nn.matmul %q, %w : tensor<2x4xi8>, tensor<4x2xi8> -> tensor<2x2xi32> loc("mm0")
    %y = nn.requantize %c bias %b scale "sc" zero_point -4 clamp 0 to 127 : tensor<2x2xi32>, tensor<2xi32> -> tensor<2x2xi8> loc("mm0")
    %d = nn.dequantize %y scale "sc" axis 1 : tensor<2x2xi8> -> tensor<2x2xf32> loc("dq0")
    nn.return %y, %d : tensor<2x2xi8>, tensor<2x2xf32>
  }
}
