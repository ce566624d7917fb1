// sink-dequantize
// const s = f32 0.5
// const z = i8 3
builtin.module {
  nn.graph "g" args ["x", "y"] results ["p", "q", "r"] {
  ^bb0(%x : tensor<1x4x4x2xf32>, %y : tensor<32xf32>):
    %e = nn.elementwise "add" %y, %y : tensor<32xf32>, tensor<32xf32> -> tensor<32xf32> loc("add0")
    %m = nn.reshape %e : tensor<32xf32> -> tensor<1x4x4x2xf32> loc("view0")
    %p = nn.pool2d "max" %m kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x4x4x2xf32> -> tensor<1x2x2x2xf32> loc("pool0")
    %pq = nn.quantize %p scale "s" zero_point "z" : tensor<1x2x2x2xf32> -> tensor<1x2x2x2xi8> loc("q0")
    %i = nn.pool2d "max" %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x4x4x2xf32> -> tensor<1x2x2x2xf32> loc("pool1")
    %iq = nn.quantize %i scale "s" zero_point "z" : tensor<1x2x2x2xf32> -> tensor<1x2x2x2xi8> loc("q1")
    %f = nn.elementwise "add" %x, %x : tensor<1x4x4x2xf32>, tensor<1x4x4x2xf32> -> tensor<1x4x4x2xf32> loc("add1")
    %a = nn.pool2d "average" %f kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x4x4x2xf32> -> tensor<1x2x2x2xf32> loc("pool2")
    %aq = nn.quantize %a scale "s" zero_point "z" : tensor<1x2x2x2xf32> -> tensor<1x2x2x2xi8> loc("q2")
    nn.return %pq, %iq, %aq : tensor<1x2x2x2xi8>, tensor<1x2x2x2xi8>, tensor<1x2x2x2xi8>
  }
}
