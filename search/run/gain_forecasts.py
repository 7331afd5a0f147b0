"""Forecasts of what more trials of a running search will add, whichever sampler proposes them.

A forecast depends on the study's seed and the recorded trials only, and is made after fixed numbers
of trials. So a resumed study makes the forecasts that it would have made without the interruption.
They are recorded with the study, because the pages and reports that show them have neither torch
nor the search space.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ...studies.config import SamplerName
from ...studies.estimator.expected_gain import SimulatedStudy, forecast_gain
from ...studies.estimator.history import TrialHistories, TrialHistory
from ...studies.estimator.mixed_model import MixedModel
from ...studies.estimator.threads import one_thread
from ...studies.records import StudyRecord
from ...studies.stored_config import ExpectedGain
from ..samplers.additive import AdditiveSampler, ThompsonSampling
from ..samplers.base import Sampler, SamplerContext, derive_seed

MIN_FORECAST_TRIALS = 10
"""With fewer trials, nothing is forecast, because the model knows little more than its prior."""
FORECAST_STEP_TRIALS = 5
"""The gain is forecast after every fifth trial; in a larger study after every tenth, and so on."""
MAX_FORECAST_STEPS = 20
"""The step is doubled while a study has at least twice this many of them."""


class ForecastWriter(Protocol):
    """Records forecasts; a `StudyRepository` is one."""

    def record_expected_gain(self, study: StudyRecord, forecast: ExpectedGain, /) -> None:
        """Record a forecast."""


class GainForecasts:
    """The forecasts of one search.

    Attributes:
        histories: of the trials; the caller keeps them up to date.
        latest: the latest forecast; None before the first.
    """

    def __init__(
        self, writer: ForecastWriter, record: StudyRecord, context: SamplerContext, sampler: Sampler
    ) -> None:
        """Begin with what the study has recorded.

        Args:
            writer: where to record forecasts.
            record: the study.
            context: its configuration and its search space.
            sampler: of the study; an additive one shares its candidates.
        """
        self._writer, self._record, self._config = writer, record, context.config
        self._thompson = (
            sampler.thompson
            if isinstance(sampler, AdditiveSampler)
            else ThompsonSampling.of(context)
        )
        self.histories = TrialHistories(context.config.recipe.epochs, context.config.pruning)
        recorded = record.config.expected_gains
        self.latest: ExpectedGain | None = recorded[-1] if recorded else None

    def update(self) -> ExpectedGain | None:
        """Make and record the forecast that is due, if one is; return the latest."""
        known = self.latest.after if self.latest else 0
        if last_forecast_count(self.histories.ended) <= known:
            return self.latest
        ended = self.histories.ended_histories()
        if any(history.end is not None for history in ended):
            with one_thread():
                self.latest = self._forecast(ended)
            self._writer.record_expected_gain(self._record, self.latest)
        return self.latest

    def _forecast(self, ended: list[TrialHistory]) -> ExpectedGain:
        seed = self._config.seed
        rng = np.random.default_rng(derive_seed(seed, len(ended), MIN_FORECAST_TRIALS))
        complete = dict.fromkeys(h.architecture for h in ended if h.end is not None)
        candidates = [c.architecture for c in self._thompson.candidates(ended, seed)]
        architectures = list(dict.fromkeys([*complete, *candidates]))
        model = MixedModel(
            self._thompson.features, ended, architectures, self._thompson.fits.fit(ended)
        )
        tried = np.arange(len(architectures)) < len(complete)
        share = model_share(self._config.sampler, len(self._config.keys))
        study = SimulatedStudy.of(model, tried, rng, share)
        return forecast_gain(study, len(ended), rng)


def last_forecast_count(trials: int) -> int:
    """The last number of trials, up to `trials`, after which the gain is forecast; 0 if none."""
    if trials < MIN_FORECAST_TRIALS:
        return 0
    step = FORECAST_STEP_TRIALS
    while trials >= 2 * step * MAX_FORECAST_STEPS:
        step *= 2
    return trials - trials % step


def model_share(sampler: SamplerName, objectives: int) -> float:
    """The share of a sampler's proposals that count as those of the model; the others as random.

    With several objectives, every other proposal of the additive sampler is a trade-off. Optuna's
    samplers count as random, since on tabular benchmarks their recommendations improve as slowly
    (`docs/search.md`).

    Args:
        sampler: of the study.
        objectives: the number of its objectives.
    """
    if sampler != "additive":
        return 0.0
    return 1.0 if objectives == 1 else 0.5
