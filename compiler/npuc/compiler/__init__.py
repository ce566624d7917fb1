"""The compiler: from an ONNX model to a binary for the NPU."""
