// fold-zero-points
// const wz = i8 7
builtin.module {
  nn.graph "g" args ["x", "w"] results ["y"] {
  ^bb0(%x : tensor<2x4xi8>, %w : tensor<4x3xi8>):
    %y = nn.matmul %x, %w a_zero_point 5 b_zero_point "wz" : tensor<2x4xi8>, tensor<4x3xi8> -> tensor<2x3xi32> loc("mm0")
    nn.return %y : tensor<2x3xi32>
  }
}
