"""What the model of a study has to know about an insertion beyond its text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class InsertionFacts:
    """Facts of one insertion in one backbone.

    Attributes:
        shares: by stage, the share of its blocks that are reached; only stages that are reached.
        octaves: half the binary logarithm of its reduction ratio over 8; None without a ratio.
        size: log(1 + parameters) of its modules: for each stage the sum over its blocks divided by
            the number of blocks; added up over all stages. Negative if it removes modules.
    """

    shares: Mapping[int, float]
    octaves: float | None
    size: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object, for the database."""
        shares = {str(stage): share for stage, share in self.shares.items()}
        return {"shares": shares, "octaves": self.octaves, "size": self.size}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InsertionFacts:
        """The inverse of `to_json`; ValueError, TypeError or KeyError if it is something else."""
        shares = {int(stage): float(share) for stage, share in dict(data["shares"]).items()}
        octaves = None if data["octaves"] is None else float(data["octaves"])
        numbers = [*shares.values(), octaves or 0.0, size := float(data["size"])]
        if (
            not all(math.isfinite(number) for number in numbers)
            or min(shares.values(), default=0) < 0
        ):
            raise ValueError("a number is not finite, or a share is negative")
        return cls(shares, octaves, size)
