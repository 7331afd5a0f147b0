"""All attacks, in the order of the table of results."""

from __future__ import annotations

from .attack import Attack

ATTACKS: tuple[Attack, ...] = ()
