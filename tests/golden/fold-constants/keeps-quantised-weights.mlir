// fold-constants
// const s = f32 0.5
// const c = f32 [[1, 2], [3, 4]]
// const w = i8 [[1, 2], [3, 4]]
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<2x2xf32>):
    %c = nn.constant "c" : tensor<2x2xf32>
    %t = nn.transpose %c perm [1, 0] : tensor<2x2xf32> -> tensor<2x2xf32> loc("t0")
    %w = nn.constant "w" : tensor<2x2xi8>
    %d = nn.dequantize %w scale "s" : tensor<2x2xi8> -> tensor<2x2xf32> loc("dq0")
    %a = nn.elementwise "add" %t, %d : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2xf32> loc("add0")
    %y = nn.elementwise "add" %x, %a : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2xf32> loc("add1")
    nn.return %y : tensor<2x2xf32>
  }
}
