"""Which architectures may run: those within the limits, with attentions that can be used."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ...errors import AttentionError
from ...runners.results import Costs
from ...spaces.architecture import Architecture
from ...studies.records import SEARCH
from ..trial_source import CostLookup
from .proposal_history import ProposalHistory

logger = logging.getLogger(__name__)

UNUSABLE = 1.0
"""The constraint of an architecture without costs, for every limit: as if it were twice as large as
allowed."""


class Admission:
    """Examines architectures before anything is built.

    Args:
        costs: parameters and MACs of any architecture.
        limits: upper bounds on costs, by their key.
        history: what has failed.
    """

    def __init__(
        self, costs: CostLookup, limits: Mapping[str, float], history: ProposalHistory
    ) -> None:
        self._costs, self._limits, self._history = costs, limits, history
        self._announced: set[str] = set()

    def examine(self, architecture: Architecture, role: str) -> tuple[Costs | None, str | None]:
        """The costs of an architecture; and why it is rejected, None if it may run.

        The failures of earlier trials count only against what a sampler has chosen.
        """
        try:
            costs = self._costs.price(architecture)
        except AttentionError as error:
            reason = str(error)
            if reason not in self._announced:
                self._announced.add(reason)
                logger.warning("%s Architectures with it there are rejected.", _sentence(reason))
            return None, reason
        reason_against = self._history.reason_against(architecture) if role == SEARCH else None
        return costs, costs.exceeded_limit(self._limits) or reason_against

    def constraints(self, costs: Costs | None) -> dict[str, float]:
        """By key, how far each known cost certainly exceeds its limit, as a fraction of the limit.

        Costs are None for an architecture with an attention that cannot be used.
        """
        if costs is None:
            return dict.fromkeys(self._limits, UNUSABLE)
        excesses = {key: costs.excess(key, limit) for key, limit in self._limits.items()}
        return {
            key: excess / self._limits[key]
            for key, excess in excesses.items()
            if excess is not None
        }


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
