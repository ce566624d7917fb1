// fold-zero-points
// const w = i8 [[1, 2], [3, -4]]
// const b = i32 [10, 20]
// const s = f32 0.5
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<2x2xi8>):
    %w = nn.constant "w" : tensor<2x2xi8>
    %b = nn.constant "b" : tensor<2xi32>
    %c = nn.matmul %x, %w a_zero_point 5 : tensor<2x2xi8>, tensor<2x2xi8> -> tensor<2x2xi32> loc("mm0")
    %y = nn.requantize %c bias %b scale "s" zero_point 1 clamp -128 to 127 : tensor<2x2xi32>, tensor<2xi32> -> tensor<2x2xi8> loc("mm0")
    nn.return %y : tensor<2x2xi8>
  }
}
