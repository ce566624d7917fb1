// lower-elementwise,form-groups
builtin.module {
  nn.graph "g" args ["x"] results ["y", "z"] {
  ^bb0(%x : tensor<2x4xf32>):
    %w = nn.constant "w" : tensor<4x4xf32>
    %a = nn.matmul %x, %w : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32> loc("mm0")
    %r = nn.elementwise "relu" %a : tensor<2x4xf32> -> tensor<2x4xf32> loc("relu0")
    %b = nn.matmul %r, %w : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32> loc("mm1")
    %v = nn.reshape %b : tensor<2x4xf32> -> tensor<4x2xf32> loc("view0")
    %t = nn.transpose %v perm [1, 0] : tensor<4x2xf32> -> tensor<2x4xf32> loc("t0")
    %c = nn.matmul %t, %w : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32> loc("mm2")
    %d = nn.matmul %r, %w : tensor<2x4xf32>, tensor<4x4xf32> -> tensor<2x4xf32> loc("mm3")
    %s = nn.elementwise "add" %c, %d : tensor<2x4xf32>, tensor<2x4xf32> -> tensor<2x4xf32> loc("add0")
    nn.return %s, %b : tensor<2x4xf32>, tensor<2x4xf32>
  }
}
