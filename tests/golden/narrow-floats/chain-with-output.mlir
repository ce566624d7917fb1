// narrow-floats{precision="bf16"}
builtin.module {
  nn.graph "case" args ["in0"] results ["softmax6_out", "relu1_out"] {
  ^bb0(%in0: tensor<1x2x4x4xf32>):
    %0 = nn.constant "028196cbe040ac90" : tensor<3x3x2x3xf32> loc("conv0")
    %1 = nn.transpose %in0 perm [0, 2, 3, 1] : tensor<1x2x4x4xf32> -> tensor<1x4x4x2xf32> loc("conv0")
    %2 = nn.conv2d %1, %0 strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] : tensor<1x4x4x2xf32>, tensor<3x3x2x3xf32> -> tensor<1x4x4x3xf32> loc("conv0")
    %3 = nn.constant "f89fb5f83825e3c0" : tensor<3xf32> loc("conv0")
    %4 = nn.generic extents [1, 4, 4, 3] parallel 4 maps [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] ins(%2, %3 : tensor<1x4x4x3xf32>, tensor<3xf32>) -> tensor<1x4x4x3xf32> body {
    ^bb0(%5: f32, %6: f32):
      %7 = arith.addf %5, %6 : f32
      nn.yield %7 : f32
    } epilogue {
    } loc("conv0")
    %8 = nn.generic extents [1, 4, 4, 3] parallel 4 maps [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] ins(%4 : tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32> body {
    ^bb0(%9: f32):
      %10 = arith.constant 0.000000e+00 : f32
      %11 = arith.maximumf %9, %10 : f32
      nn.yield %11 : f32
    } epilogue {
    } loc("relu1")
    %12 = nn.transpose %8 perm [0, 3, 1, 2] : tensor<1x4x4x3xf32> -> tensor<1x3x4x4xf32> loc("relu1")
    %13 = nn.generic extents [1, 2, 2, 3, 2, 2] parallel 4 reduce "rmaxf" maps [affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, ((d1 * 2) + d4), ((d2 * 2) + d5), d3)>, affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2, d3)>] ins(%8 : tensor<1x4x4x3xf32>) -> tensor<1x2x2x3xf32> body {
    ^bb0(%14: f32):
      nn.yield %14 : f32
    } epilogue {
    } loc("maxpool2")
    %15 = nn.constant "7846202d189499cd" : tensor<1x1x3x3xf32> loc("conv3")
    %16 = nn.conv2d %13, %15 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x2x2x3xf32>, tensor<1x1x3x3xf32> -> tensor<1x2x2x3xf32> loc("conv3")
    %17 = nn.generic extents [1, 2, 2, 3] parallel 4 maps [affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>, affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>] ins(%16, %13 : tensor<1x2x2x3xf32>, tensor<1x2x2x3xf32>) -> tensor<1x2x2x3xf32> body {
    ^bb0(%18: f32, %19: f32):
      %20 = arith.addf %18, %19 : f32
      nn.yield %20 : f32
    } epilogue {
    } loc("add4")
    %21 = nn.transpose %17 perm [0, 3, 1, 2] : tensor<1x2x2x3xf32> -> tensor<1x3x2x2xf32> loc("add4")
    %22 = nn.reshape %21 : tensor<1x3x2x2xf32> -> tensor<1x12xf32> loc("flatten5")
    %23 = nn.generic extents [1, 12] parallel 1 reduce "rmaxf" maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>] ins(%22 : tensor<1x12xf32>) -> tensor<1x1xf32> body {
    ^bb0(%24: f32):
      nn.yield %24 : f32
    } epilogue {
    } loc("softmax6")
    %25 = nn.generic extents [1, 12] parallel 1 reduce "sumf" maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d0, 0)>] ins(%22, %23 : tensor<1x12xf32>, tensor<1x1xf32>) -> tensor<1x1xf32> body {
    ^bb0(%26: f32, %27: f32):
      %28 = arith.subf %26, %27 : f32
      %29 = arith.constant 1.44269502 : f32
      %30 = arith.mulf %28, %29 : f32
      %31 = math.exp2 %30 : f32
      nn.yield %31 : f32
    } epilogue {
    } loc("softmax6")
    %32 = nn.generic extents [1, 12] parallel 2 maps [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d0, 0)>, affine_map<(d0, d1) -> (d0, d1)>] ins(%22, %23, %25 : tensor<1x12xf32>, tensor<1x1xf32>, tensor<1x1xf32>) -> tensor<1x12xf32> body {
    ^bb0(%33: f32, %34: f32, %35: f32):
      %36 = arith.subf %33, %34 : f32
      %37 = arith.constant 1.44269502 : f32
      %38 = arith.mulf %36, %37 : f32
      %39 = math.exp2 %38 : f32
      %40 = arith.divf %39, %35 : f32
      nn.yield %40 : f32
    } epilogue {
    } loc("softmax6")
    nn.return %32, %12 : tensor<1x12xf32>, tensor<1x3x4x4xf32>
  }
}
