// copy-outputs
builtin.module {
  nn.graph "g" args ["x"] results ["same", "view", "constant", "once", "twice"] {
  ^bb0(%x : tensor<2x4xf32>):
    %v = nn.reshape %x : tensor<2x4xf32> -> tensor<8xf32> loc("view0")
    %c = nn.constant "c" : tensor<2x2xi8>
    %t = nn.transpose %x perm [1, 0] : tensor<2x4xf32> -> tensor<4x2xf32> loc("t0")
    nn.return %x, %v, %c, %t, %t : tensor<2x4xf32>, tensor<8xf32>, tensor<2x2xi8>, tensor<4x2xf32>, tensor<4x2xf32>
  }
}
