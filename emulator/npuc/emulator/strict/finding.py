"""Finding: one thing that strict mode holds against a program, with its witness."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """``kind`` is one of ``taxonomy.KINDS``.

    ``site`` and ``other`` are the instructions in words (``other`` for races: the earlier one),
    ``memory`` with ``first_byte`` and ``n_bytes`` what they touch, ``missing`` the edge that a
    race lacks or what is allowed. ``core`` and ``instruction`` locate ``site``, -1 where no
    instruction is to blame.
    """

    kind: str
    what: str
    core: int = -1
    instruction: int = -1
    site: str = ""
    other: str = ""
    memory: str = ""
    first_byte: int = 0
    n_bytes: int = 0
    missing: str = ""

    def __str__(self) -> str:
        """All parts, one a line."""
        lines = [f"{self.kind}: {self.what}"]
        if self.site:
            lines.append(f"  at {self.site}")
        if self.other:
            lines.append(f"  with {self.other}")
        if self.n_bytes:
            lines.append(f"  bytes: {self.n_bytes} of {self.memory}, first {self.first_byte}")
        if self.missing:
            is_range = self.missing.startswith("allowed: ")
            lines.append(f"  {self.missing if is_range else 'missing: ' + self.missing}")
        return "\n".join(lines)
