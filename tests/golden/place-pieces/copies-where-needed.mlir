// place-pieces
builtin.module {
  nn.graph "g" args ["x"] results ["whole", "flat"] {
  ^bb0(%x : tensor<2x4xf32>):
    %t = nn.transpose %x perm [1, 0] : tensor<2x4xf32> -> tensor<4x2xf32> loc("made")
    %part = nn.slice %x starts [0, 1] steps [1, 2] : tensor<2x4xf32> -> tensor<2x2xf32> loc("part")
    %y = nn.concat %t, %t, %part axis 0 : tensor<4x2xf32>, tensor<4x2xf32>, tensor<2x2xf32> -> tensor<10x2xf32> loc("join")
    %v = nn.reshape %part : tensor<2x2xf32> -> tensor<4xf32> loc("view")
    %s = nn.transpose %y perm [1, 0] : tensor<10x2xf32> -> tensor<2x10xf32> loc("s")
    %z = nn.transpose %v perm [0] : tensor<4xf32> -> tensor<4xf32> loc("z")
    nn.return %s, %z : tensor<2x10xf32>, tensor<4xf32>
  }
}
