"""From an ONNX file to the nn dialect: ``import_model``. One import function per ONNX operator.

The family modules register their functions when this package is imported.
"""

from npuc.compiler.frontend import (
    activations,
    conv,
    conv_transpose,
    elementwise,
    matmul,
    normalisation,
    pieces,
    pool,
    quantized,
    resize,
    shape,
)
from npuc.compiler.frontend.importer import import_model
from npuc.compiler.frontend.node import TABLE

FAMILIES = (
    activations,
    conv,
    conv_transpose,
    elementwise,
    matmul,
    normalisation,
    pieces,
    pool,
    quantized,
    resize,
    shape,
)

__all__ = ["FAMILIES", "TABLE", "import_model"]
