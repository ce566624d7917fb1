"""The contract: targets, instructions, numerics, cost formulas, binary container, assembler."""
