// lower-quantization,lower-elementwise,compose-generics
// const s = f32 0.5
// const z = i8 3
// const t = f32 0.25
builtin.module {
  nn.graph "g" args ["x", "v"] results ["y"] {
  ^bb0(%x : tensor<2x4xi8>, %v : tensor<2x4xi8>):
    %w = nn.constant "w" : tensor<4x4xi8>
    %c = nn.matmul %x, %w : tensor<2x4xi8>, tensor<4x4xi8> -> tensor<2x4xi32> loc("mm0")
    %r = nn.requantize %c scale "t" zero_point 3 clamp -128 to 127 : tensor<2x4xi32> -> tensor<2x4xi8> loc("mm0")
    %a = nn.dequantize %r scale "s" zero_point "z" : tensor<2x4xi8> -> tensor<2x4xf32> loc("dq0")
    %b = nn.dequantize %v scale "t" : tensor<2x4xi8> -> tensor<2x4xf32> loc("dq1")
    %d = nn.elementwise "add" %a, %b : tensor<2x4xf32>, tensor<2x4xf32> -> tensor<2x4xf32> loc("add0")
    %q = nn.quantize %d scale "s" zero_point "z" : tensor<2x4xf32> -> tensor<2x4xi8> loc("q0")
    nn.return %q : tensor<2x4xi8>
  }
}
