"""Import functions, one file per family of ONNX operators; they register themselves."""

from npuc.compiler.frontend.operators import (
    activations,
    conv,
    conv_transpose,
    elementwise,
    logic,
    matmul,
    normalisation,
    pieces,
    pool,
    quantized,
    resize,
    shape,
)

FAMILIES = (
    activations,
    conv,
    conv_transpose,
    elementwise,
    logic,
    matmul,
    normalisation,
    pieces,
    pool,
    quantized,
    resize,
    shape,
)
