"""How work is divided over cores, as data: what a schedule says of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Division:
    """How work is split: over how many ``cores``, the rows of each job at multiples of what.

    Rows are cut between ``parts`` equal parts of them, as images of a batch are, where they have so
    many; anywhere where there is one. ``multicasts``: cores may load weights for each other, which
    takes a part of their SPM.
    """

    cores: int
    parts: int = 1
    multicasts: bool = True

    def granule(self, rows: int) -> int:
        """Of how many rows each range is a multiple."""
        return rows // self.parts if self.parts > 1 and rows % self.parts == 0 else 1
