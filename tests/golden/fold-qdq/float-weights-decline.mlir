// fold-qdq
// const xs = f32 0.5
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<2x4xi8>):
    %w = nn.constant "w" : tensor<4x3xf32>
    %xd = nn.dequantize %x scale "xs" : tensor<2x4xi8> -> tensor<2x4xf32> loc("x_dq")
    %y = nn.matmul %xd, %w : tensor<2x4xf32>, tensor<4x3xf32> -> tensor<2x3xf32> loc("mm0")
    nn.return %y : tensor<2x3xf32>
  }
}
