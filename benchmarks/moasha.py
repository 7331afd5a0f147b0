"""Replay a search with MOASHA of Syne Tune on a tabular benchmark.

Schmucker et al., "Multi-objective Asynchronous Successive Halving", arXiv 2106.12639.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime

import numpy as np
from attentune.benchmarks.simulated_studies import FinalAccuracies, parse_settings
from attentune.benchmarks.tabular_benchmark import ShuffledSeeds, TabularBenchmark
from attentune.spaces.attentions.entry import Value


class Moasha:
    """Random architectures, stopped at rungs by their rank in (accuracy, parameters).

    An architecture that is drawn again is trained with its next seed.

    Args:
        table: where trials are looked up.
        way: `moasha:first=F,eta=N`, with the first rung as a fraction of all epochs, and the factor
            between one rung and the next.
        repetition: seed of the search and of the seed effects.
    """

    def __init__(self, table: TabularBenchmark, way: str, repetition: int) -> None:
        from syne_tune.backend.trial_status import Trial
        from syne_tune.config_space import choice
        from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

        settings = parse_settings(way.partition(":")[2])
        epochs = table.recipe.epochs
        choices: defaultdict[str, set[Value]] = defaultdict(set)
        for index in range(table.bound_space.count()):
            for name, value in table.bound_space.selection_at(index).items():
                choices[name].add(value)
        space = {name: choice(sorted(values, key=str)) for name, values in choices.items()}
        random.seed(repetition)
        np.random.seed(repetition)  # Syne Tune draws from NumPy's global generator.
        self.table, self.seeds, self._trial = table, ShuffledSeeds(table, repetition), Trial
        self.scheduler = MOASHA(
            space,
            metrics=["error", "params"],
            time_attr="epoch",
            max_t=epochs,
            grace_period=max(1, round(float(settings.get("first", 0.375)) * epochs)),
            reduction_factor=float(settings.get("eta", 3)),
            random_seed=repetition,
        )
        self.turns: Counter[str] = Counter()
        self.finals = FinalAccuracies(len(table.bound_space.site_map.blocks))
        self.spent = self.number = 0

    def run(self, budget: int, trials: float = math.inf) -> list[tuple[int, str]]:
        """As `Replay.run`; there is no recommendation before the first complete trial."""
        recommendations: list[tuple[int, str]] = []
        last = self.number + trials
        while self.spent < budget and self.number < last:
            self.run_trial()
            if self.finals:
                recommendations.append((self.spent, self.recommend()))
        return recommendations

    def recommend(self) -> str:
        """The architecture that attentune would recommend after these trials."""
        return self.finals.recommend()

    def run_trial(self) -> None:
        """Draw an architecture, and look its learning curve up until it is stopped."""
        trial = self._trial(self.number, self.scheduler.suggest().config, datetime.now(UTC))
        self.number += 1
        self.scheduler.on_trial_add(trial)
        architecture = self.table.bound_space.architecture_of(trial.config)
        text = str(architecture)
        turn = self.turns[text]
        self.turns[text] += 1
        curve = self.seeds.curve(text, turn)
        for report in curve:
            metrics = {
                "epoch": report.epoch,
                "error": 1 - report.accuracy,
                "params": self.table.price(architecture).params,
            }
            if report.epoch == len(curve):
                self.scheduler.on_trial_complete(trial, metrics)
                self.finals.add(text, turn, report.accuracy)
            elif self.scheduler.on_trial_result(trial, metrics) == "STOP":
                break
        self.spent += report.epoch
