"""The instruction set: one class per instruction, each in the file of its unit.

``INSTRUCTIONS`` is the whole set. Encoder, decoder, assembler, disassembler and manual are derived
from the classes; nothing about one instruction stands anywhere else.
"""

from npuc.isa.instructions import dma, flow, maps, matrix, order, ordered, scalar, vector, word
from npuc.isa.instructions.base import (
    INSTRUCTION_BYTES,
    NO_INDEX,
    Command,
    Counter,
    Engine,
    Field,
    Instruction,
    Kind,
    Wait,
)

INSTRUCTIONS: tuple[type[Instruction], ...] = (
    *scalar.INSTRUCTIONS,
    *flow.INSTRUCTIONS,
    *word.INSTRUCTIONS,
    *maps.INSTRUCTIONS,
    *dma.INSTRUCTIONS,
    *matrix.INSTRUCTIONS,
    *vector.INSTRUCTIONS,
    *ordered.INSTRUCTIONS,
    *order.INSTRUCTIONS,
)
BY_OPCODE = {cls.opcode: cls for cls in INSTRUCTIONS}
BY_MNEMONIC = {cls.mnemonic: cls for cls in INSTRUCTIONS}

__all__ = [
    "BY_MNEMONIC",
    "BY_OPCODE",
    "INSTRUCTIONS",
    "INSTRUCTION_BYTES",
    "NO_INDEX",
    "Command",
    "Counter",
    "Engine",
    "Field",
    "Instruction",
    "Kind",
    "Wait",
]
