"""Verification: each level of a compilation against the others and against ONNX."""

from npuc.runtime.verification.comparison import Comparison
from npuc.runtime.verification.verify import VerifyOptions, VerifyReport, verify_model

__all__ = ["Comparison", "VerifyOptions", "VerifyReport", "verify_model"]
