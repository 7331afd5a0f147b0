"""What the comparison of an implementation with its paper says, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["same", "note", "deviation", "differs", "fails"]
OUTCOMES_AT_FAULT = ("differs", "fails")


@dataclass(frozen=True)
class ImplementationCheck:
    """What is to be checked.

    Attributes:
        reference: the class, a function that makes the module, or a module: `my_module:MyCBAM`.
        attention: the attention of the catalogue, with options if they are not the paper's, such as
            `cbam(k=3)`; None: to be told by the name of the class.
        channels: of the map.
        ratio: reduction ratio; None: the class's own default, else the paper's.
        arguments: further arguments of the class, by name.
        folder: from which the module is imported, besides the search path.
    """

    reference: str
    attention: str | None
    channels: int
    ratio: int | None
    arguments: tuple[tuple[str, Any], ...]
    folder: str


@dataclass(frozen=True)
class CheckedAspect:
    """One aspect of an implementation.

    Attributes:
        aspect: which.
        outcome: `same` as the paper, or without a fault; `note`, worth knowing; `deviation`, a
            known one that the function of the paper survives; `differs` from the paper; `fails`.
        sentence: what was seen, and what follows from it.
    """

    aspect: str
    outcome: Outcome
    sentence: str


AspectEvent = str | CheckedAspect
"""The name of an aspect before it is examined, and then what was seen."""


@dataclass(frozen=True)
class ImplementationReport:
    """The whole comparison.

    Attributes:
        reference: what was checked.
        made_by: how it was made, such as `MyCBAM(64, reduction=16)`.
        attention: what it was compared with, such as `cbam(r=16)`.
        title, paper: of that attention.
        channels: of the map.
        aspects: in the order in which they were checked.
    """

    reference: str
    made_by: str
    attention: str
    title: str
    paper: str
    channels: int
    aspects: tuple[CheckedAspect, ...]

    @property
    def aspects_at_fault(self) -> tuple[str, ...]:
        """The names of the aspects that differ from the paper or fail."""
        return tuple(a.aspect for a in self.aspects if a.outcome in OUTCOMES_AT_FAULT)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs from the paper, and nothing fails."""
        return not self.aspects_at_fault

    def to_json(self) -> dict[str, Any]:
        """What `attentune check --json` prints."""
        return {
            "reference": self.reference,
            "made_by": self.made_by,
            "attention": self.attention,
            "title": self.title,
            "paper": self.paper,
            "channels": self.channels,
            "agrees": self.agrees,
            "checks": [
                {"check": a.aspect, "outcome": a.outcome, "sentence": a.sentence}
                for a in self.aspects
            ],
        }
