// sink-transposes
// const w = f32 [[1, 2], [3, 4], [5, 6], [7, 8]]
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<2x2x1x2xf32>):
    %t = nn.transpose %x perm [0, 3, 1, 2] : tensor<2x2x1x2xf32> -> tensor<2x2x2x1xf32> loc("conv0")
    %f = nn.reshape %t : tensor<2x2x2x1xf32> -> tensor<2x4xf32> loc("flatten0")
    %w = nn.constant "w" : tensor<4x2xf32>
    %y = nn.matmul %f, %w : tensor<2x4xf32>, tensor<4x2xf32> -> tensor<2x2xf32> loc("gemm0")
    nn.return %y : tensor<2x2xf32>
  }
}
