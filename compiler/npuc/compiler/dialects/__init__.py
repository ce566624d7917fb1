"""The three dialects: nn (graphs), tile (loops on buffers), npu (instructions)."""
