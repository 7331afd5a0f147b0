"""Attention maps of trials. Each takes seconds to compute, so threads do it."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from ...errors import AttentuneError
from ...runners.inspection.attention_maps import AttentionMaps
from ..outputs.attention_maps import (
    fetch_attention_maps,
    request_for_baseline,
    request_for_trial,
)
from ..text.formatting import sentence
from .cache import VersionedCache, describe_fault
from .live_trials import LiveTrials

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InspectedTrial:
    """A trial's attention maps and the bare backbone's; `problem` says why some are missing."""

    maps: AttentionMaps | None
    baseline: AttentionMaps | None
    problem: str | None


class InspectedTrials:
    """The attention maps of a study's trials, by number. May be used from any thread."""

    def __init__(self, trials: LiveTrials, cache: VersionedCache) -> None:
        self._store, self._study, self._cache = trials.store, trials.study, cache
        self._inspected: dict[int, InspectedTrial] = {}
        self._computing: set[int] = set()

    def get(self, number: int) -> InspectedTrial | None:
        """A trial's attention maps; None while they are computed."""
        with self._cache.lock:
            if number in self._inspected or number in self._computing:
                return self._inspected.get(number)
            self._computing.add(number)
        threading.Thread(target=self._compute, args=(number,), daemon=True).start()
        return None

    def _compute(self, number: int) -> None:
        maps = baseline = problem = None
        try:
            maps = fetch_attention_maps(request_for_trial(self._store, self._study, number))
            request = request_for_baseline(self._store, self._study, number)
            baseline = None if request is None else fetch_attention_maps(request)
        except AttentuneError as error:
            problem = sentence(str(error))
        except Exception as error:
            logger.exception("cannot inspect trial %s", number)
            problem = f"Cannot inspect this trial: {describe_fault(error)}"
        with self._cache.lock:
            self._inspected[number] = InspectedTrial(maps, baseline, problem)
            self._computing.discard(number)
            self._cache.delivered += 1
