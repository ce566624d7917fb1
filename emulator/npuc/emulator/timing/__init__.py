"""Time: a second pass over resolved commands, by descriptors and extents alone, never by data.

``time_streams`` gives start and end of each command and accounts for every engine-cycle;
``layer_table`` and ``energy`` read its result. An event-level model: ``stepped`` is its
independent slow twin, and its error against that twin is measured in the tests.
"""

from npuc.emulator.timing.accounting import Account, CommandTimes
from npuc.emulator.timing.alone import cycles_alone
from npuc.emulator.timing.energy import Energy, energy
from npuc.emulator.timing.layers import LayerRow, layer_table
from npuc.emulator.timing.products import group_products
from npuc.emulator.timing.timing import Timing, time_streams
from npuc.emulator.timing.work import Work

__all__ = [
    "Account",
    "CommandTimes",
    "Energy",
    "LayerRow",
    "Timing",
    "Work",
    "cycles_alone",
    "energy",
    "group_products",
    "layer_table",
    "time_streams",
]
