"""Ends a search that has nothing left to try, instead of proposing for ever.

Most limits are checked before a search begins (`search/setup/space_check.py`). What is measured,
and what fails, is known only later: every architecture may turn out to be too slow, or to fail.
Then the bare backbone alone would be trained again and again, or nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from ...errors import AttentionError, SpaceError
from ...spaces.architecture import Architecture
from ...spaces.search_space.bound_space import BoundSpace
from ..trial_source import CostLookup
from .proposal_history import ProposalHistory

MAX_REJECTED_PROPOSALS = 1000
"""If this many proposals in a row are rejected before they are built, the search ends."""
MAX_MEASURED_REJECTIONS = 60
"""If this many networks in a row are measured and exceed a limit, the search ends. Each measurement
takes about a second."""
MAX_BARE_PROPOSALS = 10
"""If the bare backbone is proposed this often, and everything else since is rejected, it ends."""
MAX_ARCHITECTURES_ENUMERATED = 1000
"""In a space of at most so many, it is checked whether anything but the bare backbone is left."""


class UnfruitfulProposals:
    """Counts proposals that lead to no new trial.

    Args:
        space: the search space on its backbone.
        limits: upper bounds on costs by their key.
        costs: parameters and MACs of any architecture.
        history: what was rejected and what has failed.
    """

    def __init__(
        self,
        space: BoundSpace,
        limits: Mapping[str, float],
        costs: CostLookup,
        history: ProposalHistory,
    ) -> None:
        self._space, self._limits, self._costs, self._history = space, limits, costs, history
        self._rejected = self._measured = self._bare = 0
        self._running_bare: set[int] = set()

    def on_rejection(self, reason: str) -> None:
        """A proposal was rejected before it was built.

        Raises:
            SpaceError: nothing is left, or too many were rejected in a row.
        """
        self._rejected += 1
        self._check_anything_left(reason)
        if self._rejected >= MAX_REJECTED_PROPOSALS:
            raise SpaceError(
                f"{self._rejected:,} proposals in a row were rejected, the last because {reason}; "
                "raise the limit, or choose another space"
            )

    def on_measured_rejection(self, reason: str) -> None:
        """A network was built and measured, and exceeds a limit.

        Raises:
            SpaceError: nothing is left, or too many were rejected in a row.
        """
        self._measured += 1
        self._check_anything_left(reason)
        if self._measured >= MAX_MEASURED_REJECTIONS:
            raise SpaceError(
                f"{self._measured} architectures in a row exceed a limit when they are measured: "
                f"of the last one, {reason}; raise the limit, or choose another space"
            )

    def on_proposal(self, number: int, architecture: Architecture) -> None:
        """A sampler's proposal becomes trial `number`.

        Raises:
            SpaceError: it is the bare backbone again, and nothing else is left.
        """
        if not architecture.bare:
            self._rejected = self._bare = 0
            return
        self._running_bare.add(number)
        self._bare += 1
        self._check_anything_left("everything else was rejected or has failed")
        if self._rejected and self._bare >= MAX_BARE_PROPOSALS:
            raise SpaceError(
                f"the bare backbone was proposed {self._bare} times in a row, and "
                f"{self._rejected:,} other proposals were rejected; raise the limit, or choose "
                "another space"
            )

    def on_epoch(self, number: int) -> None:
        """Trial `number` is being trained, so it is within all limits."""
        if number not in self._running_bare:
            self._measured = 0

    def _check_anything_left(self, reason: str) -> None:
        """Raise a SpaceError if a small space has nothing left but the bare backbone."""
        if self._space.count() > MAX_ARCHITECTURES_ENUMERATED:
            return
        if all(self._history.reason_against(a) is not None for a in self._usable_architectures):
            raise SpaceError(
                f"nothing of the space {self._space.space.name} is left to try but the bare "
                f"backbone: {reason}; choose another space, or raise the limit"
            )

    @cached_property
    def _usable_architectures(self) -> list[Architecture]:
        """All architectures within the limits, as far as they are known before training."""
        usable = []
        for index in range(self._space.count()):
            architecture = self._space.architecture_at(index)
            if architecture.bare:
                continue
            try:
                costs = self._costs.price(architecture)
            except AttentionError:
                continue
            if not costs.exceeded_limit(self._limits):
                usable.append(architecture)
        return usable
