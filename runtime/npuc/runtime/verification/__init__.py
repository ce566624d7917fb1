"""Verification: each level of a compilation against the others and against ONNX."""
