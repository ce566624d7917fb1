"""Named ways to decide a whole program, which the closed form cannot tell apart.

Each is tried at -O3 and timed; what one of them does better in a part of the program is kept.
"""

from dataclasses import dataclass, field

from npuc.compiler.schedule.search import Preference
from npuc.compiler.schedule.striping.interleave import StripeOptions


@dataclass(frozen=True)
class Policy:
    """One way to decide; the default is that of -O2.

    ``prefers`` and ``rank``: which of a step's tilings is taken that cost about the same;
    ``three_slots``: whether its rings have a third slot where there is room.
    """

    name: str = "as at -O2"
    prefers: Preference = "few tiles"
    rank: int = 0
    three_slots: bool = False
    striping: StripeOptions = field(default_factory=StripeOptions)


PLANS = (  # what is striped and what stays
    Policy("pieces that cost nothing", striping=StripeOptions(step_cycles=0)),
    Policy("pieces that cost 600 cycles", striping=StripeOptions(step_cycles=600)),
    Policy("a quarter of SPM for rings", striping=StripeOptions(room_share=4)),
    Policy("runs of 8 groups", striping=StripeOptions(longest_run=8)),
    Policy("halos computed again", striping=StripeOptions(recompute=True)),
)
TILINGS = (  # of the steps of the best plan
    Policy("fewest cycles alone", "fewest cycles alone"),
    Policy("three slots", three_slots=True),
    Policy("little traffic", "little traffic"),
    Policy("second to little traffic", "little traffic", 1),
    Policy("third to few tiles", "few tiles", 2),
    Policy("many tiles", "many tiles"),
    Policy("second to few tiles", "few tiles", 1),
    Policy("fewest cycles", "fewest cycles"),
)
