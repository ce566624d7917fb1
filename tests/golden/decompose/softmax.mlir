// decompose
builtin.module {
  nn.graph "g" args ["x"] results ["y"] {
  ^bb0(%x : tensor<2x10xf32>):
    %y = nn.softmax %x axis 1 : tensor<2x10xf32> -> tensor<2x10xf32> loc("softmax0")
    nn.return %y : tensor<2x10xf32>
  }
}
