// fold-constants{keep-quantized=false}
// const s = f32 0.5
// const w = i8 [[1, 2], [3, 4]]
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<2x2xf32>):
    %w = nn.constant "w" : tensor<2x2xi8>
    %d = nn.dequantize %w scale "s" : tensor<2x2xi8> -> tensor<2x2xf32> loc("dq0")
    %y = nn.elementwise "add" %x, %d : tensor<2x2xf32>, tensor<2x2xf32> -> tensor<2x2xf32> loc("add1")
    nn.return %y : tensor<2x2xf32>
  }
}
