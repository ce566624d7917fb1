// sink-dequantize
// const s = f32 0.5
// const z = i8 3
// const t = f32 [0.25, 0.5]
builtin.module {
  nn.graph "g" args ["x", "w", "i"] results ["r", "c"] {
  ^bb0(%x : tensor<9x2xi8>, %w : tensor<9x2xi8>, %i : tensor<4xi32>):
    %dx = nn.dequantize %x scale "s" zero_point "z" : tensor<9x2xi8> -> tensor<9x2xf32> loc("dqx")
    %r = nn.gather %dx, %i : tensor<9x2xf32>, tensor<4xi32> -> tensor<4x2xf32> loc("rows0")
    %dw = nn.dequantize %w scale "t" axis 1 : tensor<9x2xi8> -> tensor<9x2xf32> loc("dqw")
    %c = nn.gather %dw, %i : tensor<9x2xf32>, tensor<4xi32> -> tensor<4x2xf32> loc("rows1")
    nn.return %r, %c : tensor<4x2xf32>, tensor<4x2xf32>
  }
}
