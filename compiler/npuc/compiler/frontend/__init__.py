"""From an ONNX file to the nn dialect: ``import_model``. One import function per ONNX operator.

The family modules register their functions when this package is imported.
"""

from npuc.compiler.frontend.importer import import_model
from npuc.compiler.frontend.node import TABLE
from npuc.compiler.frontend.operators import FAMILIES

__all__ = ["FAMILIES", "TABLE", "import_model"]
