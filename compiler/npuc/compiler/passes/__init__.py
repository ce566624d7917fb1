"""The passes, one file each; their order is in ``npuc.compiler.pipeline``."""
