"""Searches of others on a table: MOASHA, as Syne Tune has it (arXiv 2106.12639)."""

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
    """Random architectures, stopped at rungs by the rank of (accuracy, parameters) so far.

    `way` is `moasha:first=F,eta=N`: the first rung as a part of all epochs, and how much further
    each next one is. An architecture that is drawn again becomes its next seed.
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
        np.random.seed(repetition)  # Syne Tune draws from numpy's global state
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
        self.finals = FinalAccuracies()
        self.spent = self.number = 0

    def run(self, budget: int, trials: float = math.inf) -> list[tuple[int, str]]:
        """As `search.Replay.run`; nothing is recommended before a trial was trained to its end."""
        told: list[tuple[int, str]] = []
        last = self.number + trials
        while self.spent < budget and self.number < last:
            self.one()
            if self.finals:
                told.append((self.spent, self.recommended()))
        return told

    def recommended(self) -> str:
        """As a study of ours would recommend."""
        return self.finals.recommend()

    def one(self) -> None:
        """One trial."""
        trial = self._trial(self.number, self.scheduler.suggest().config, datetime.now(UTC))
        self.number += 1
        self.scheduler.on_trial_add(trial)
        architecture = self.table.bound_space.architecture_of(trial.config)
        text = str(architecture)
        turn = self.turns[text]
        self.turns[text] += 1
        curve = self.seeds.curve(text, turn)
        for report in curve:
            told = {
                "epoch": report.epoch,
                "error": 1 - report.accuracy,
                "params": self.table.price(architecture).params,
            }
            if report.epoch == len(curve):
                self.scheduler.on_trial_complete(trial, told)
                self.finals.add(text, turn, report.accuracy)
            elif self.scheduler.on_trial_result(trial, told) == "STOP":
                break
        self.spent += report.epoch
