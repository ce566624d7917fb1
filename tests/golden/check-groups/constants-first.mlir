// form-groups,check-groups
builtin.module {
  nn.graph "g" args ["x"] results ["y", "z"] {
  ^bb0(%x : tensor<2x4xi8>):
    %w = nn.constant "w" : tensor<4x4xi8>
    %a = nn.matmul %x, %w : tensor<2x4xi8>, tensor<4x4xi8> -> tensor<2x4xi32> loc("mm0")
    %t = nn.transpose %a perm [1, 0] : tensor<2x4xi32> -> tensor<4x2xi32> loc("t0")
    %v = nn.constant "w" : tensor<4x4xi8>
    %b = nn.matmul %x, %v : tensor<2x4xi8>, tensor<4x4xi8> -> tensor<2x4xi32> loc("mm1")
    nn.return %t, %b : tensor<4x2xi32>, tensor<2x4xi32>
  }
}
