"""What each attention adds in each stage, from the model of the study's effects.

The unit is one insertion in one stage: the accuracy of the bare backbone with that insertion in
that stage alone, as the model of the study expects it, minus the accuracy of the bare backbone.
Every effect that is shown is a mean of units, weighted by the number of architectures that were
tried with them, pruned ones included. So the effect of an attention is a mean of its effects in the
stages, and the effect of a stage is one of those of the attentions in it: they never contradict one
another.

The intervals come from the joint posterior of the units and the bare backbone, so they include the
error of the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy

from ...spaces.architecture import POSITIONS, Architecture, Insertion, Place
from ...spaces.attentions.catalogue import ATTENTIONS
from ..estimator.features import ArchitectureFeatures
from ..estimator.history import TrialHistory
from ..estimator.mixed_model import MixedModel
from ..estimator.study_model import StudyModel
from ..estimator.threads import one_thread
from ..insertion_facts import InsertionFacts
from .architecture_table import ArchitectureTable
from .importances import Importance, StageChoice, estimate_importances
from .insertion_index import InsertionIndex
from .trial_table import tried_architectures

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Factor = Literal["attention", "stage", "position", "ratio"]
FACTORS: tuple[Factor, ...] = ("attention", "stage", "position", "ratio")

MAX_UNITS = 600
"""Insertions in stages whose effects are estimated; of more, those of the most architectures."""
HALF_WIDTH = float(scipy.special.ndtri(0.975))
"""Half the width of a 95 % interval, in standard errors."""
HYPOTHETICAL = "*"
"""Added to the name of the backbone of hypothetical architectures, so that none of them is one that
has trials of its own."""


@dataclass(frozen=True)
class Effect:
    """An effect with its 95 % interval, in fractions.

    Attributes:
        architectures: the number of architectures that were tried with it.
    """

    mean: float
    low: float
    high: float
    architectures: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class MainEffect(Effect):
    """The effect of one level of one factor, in an average stage."""

    factor: Factor
    level: str


@dataclass(frozen=True)
class EffectTable:
    """Effects by attention (rows) and stage or position (columns); without cells not tried."""

    attentions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    cells: Mapping[tuple[str, str], Effect] = field(default_factory=dict)


@dataclass(frozen=True)
class AttentionEffects:
    """The effects of a study's attentions; all empty while the bare backbone is not complete.

    Attributes:
        by_stage, by_position: by attention and stage, and by attention and position.
        by_ratio: by attention, its reduction ratios with the effect of each.
        main: of each attention, stage, position and ratio.
        importances: the share of the variance of trials that the choices in each stage explain;
            what is missing to 1 is not explained by them.
        variance: of the results of trials, without the effects of their seeds.
    """

    by_stage: EffectTable = EffectTable()
    by_position: EffectTable = EffectTable()
    by_ratio: Mapping[str, Sequence[tuple[int, Effect]]] = field(default_factory=dict)
    main: tuple[MainEffect, ...] = ()
    importances: tuple[Importance, ...] = ()
    variance: float = 0.0


def analyse_effects(table: ArchitectureTable, rows: npt.NDArray[Any]) -> AttentionEffects:
    """The effects of the attentions of a study.

    Args:
        table: its architectures.
        rows: its trials, `TrialTable.rows`.
    """
    index = InsertionIndex(table.model.stages).extend(table.texts)
    tried = tried_architectures(rows, len(table.texts))
    bare = None if table.bare is None else table.architecture(table.bare)
    return estimate_attention_effects(table.model, table.model.histories, index, tried, bare)


def estimate_attention_effects(
    model: StudyModel,
    histories: Sequence[TrialHistory],
    index: InsertionIndex,
    tried: Flags,
    bare: Architecture | None,
) -> AttentionEffects:
    """The effects of the attentions of a study.

    Args:
        model: of the study.
        histories: of its trials that have ended.
        index: of the insertions of its architectures.
        tried: (architectures of the index,) whether each has a complete or pruned trial.
        bare: the bare backbone; None while it has no complete trial.
    """
    units = _units(index, tried, model)
    if bare is None or not units:
        return AttentionEffects()
    with one_thread():
        posterior = _UnitPosterior.of(model, histories, units, bare)
    return _Tables(model.stages, units, posterior, index, tried).effects()


@dataclass(frozen=True)
class _Unit:
    """An insertion in one stage.

    Attributes:
        number: of the insertion in the `InsertionIndex`.
        insertion: as it was tried, in all its stages.
        stage: counted from 1.
        architectures: the number of architectures that were tried with it.
    """

    number: int
    insertion: Insertion
    stage: int
    architectures: int

    @property
    def levels(self) -> dict[Factor, str]:
        """Its level of each factor; an attention without a reduction ratio has none of that."""
        levels: dict[Factor, str] = {
            "attention": self.insertion.attention,
            "stage": f"s{self.stage}",
            "position": self.insertion.position,
        }
        ratio = dict(self.insertion.options).get("r")
        if isinstance(ratio, int):
            levels["ratio"] = str(ratio)
        return levels

    def alone(self, backbone: str) -> Architecture:
        """The hypothetical architecture with this insertion in this stage alone."""
        places = tuple(
            place if place.block else Place(self.stage, self.stage)
            for place in self.insertion.places
            if not place.first or place.first <= self.stage <= place.last
        )
        return Architecture(backbone, (replace(self.insertion, places=places),))

    def facts_alone(self, facts: InsertionFacts) -> InsertionFacts:
        """The facts of the insertion in this stage alone, given those of all its stages."""
        share = facts.shares.get(self.stage, 0.0)
        size = facts.size * share / (sum(facts.shares.values()) or 1.0)
        return InsertionFacts({self.stage: share}, facts.octaves, size)


def _units(index: InsertionIndex, tried: Flags, model: StudyModel) -> list[_Unit]:
    """The insertions in stages of the architectures that were tried, the most frequent first."""
    counts = index.count_architectures(tried)
    units = [
        _Unit(number, insertion, stage, int(counts[number]))
        for number, insertion in enumerate(index.insertions)
        if counts[number]
        for stage in sorted(model.facts_of(insertion).shares)
        if any(not p.first or p.first <= stage <= p.last for p in insertion.places)
    ]
    return sorted(units, key=lambda unit: -unit.architectures)[:MAX_UNITS]


@dataclass(frozen=True)
class _UnitPosterior:
    """The joint posterior of the m units.

    Attributes:
        gains: (m,) what each adds to the accuracy of the bare backbone, a fraction.
        covariance: (m, m) of the gains.
        contributions: (m,) what each adds to a network that has no effects at all.
        contributions_covariance: (m, m) of these.
        variance: of the accuracies of trials, without the effects of their seeds.
        trials: the architecture of each of these trials.
    """

    gains: Floats
    covariance: Floats
    contributions: Floats
    contributions_covariance: Floats
    variance: float
    trials: tuple[Architecture, ...]

    @classmethod
    def of(
        cls,
        model: StudyModel,
        histories: Sequence[TrialHistory],
        units: Sequence[_Unit],
        bare: Architecture,
    ) -> _UnitPosterior:
        """The posterior given all trials of a study."""
        hypothetical = bare.backbone + HYPOTHETICAL
        alone = [unit.alone(hypothetical) for unit in units]
        facts = {
            str(architecture.insertions[0]): unit.facts_alone(model.facts_of(unit.insertion))
            for unit, architecture in zip(units, alone, strict=True)
        }
        features = ArchitectureFeatures(
            range(1, model.stages + 1),
            lambda insertion: facts.get(str(insertion)) or model.facts_of(insertion),
        )
        predicted = [*alone, Architecture(hypothetical), bare]
        mixed = MixedModel(features, histories, predicted, model.fits.fit(histories))
        mean = mixed.posterior().mean
        joint = mixed.posterior_covariance(np.arange(len(predicted)))
        # What an architecture has beyond its features is no effect of its attentions.
        of_units = slice(0, len(units))
        own = np.arange(len(units) + 1)
        joint[own, own] -= mixed.architecture_variance
        ends = [(h.architecture, h.seed, h.end) for h in mixed.modelled if h.end is not None]
        corrected = [end - mixed.seed_effects.get(seed, 0.0) for _, seed, end in ends]
        return cls(
            mean[of_units] - mean[-1],
            _covariance_of_differences(joint, len(units), -1),
            mean[of_units] - mean[-2],
            _covariance_of_differences(joint, len(units), -2),
            float(np.var(corrected)) if ends else 0.0,
            tuple(architecture for architecture, _, _ in ends),
        )


def _covariance_of_differences(joint: Floats, units: int, reference: int) -> Floats:
    """(units, units) the covariance of the first values minus one of the others.

    Args:
        joint: the covariance of all.
        units: how many come first.
        reference: the index of the other.
    """
    of_units, shared = slice(0, units), joint[:units, reference]
    difference: Floats = joint[of_units, of_units] - shared - shared[:, None]
    difference += joint[reference, reference]
    return difference


class _Tables:
    """The effects as means of units."""

    def __init__(
        self,
        stages: int,
        units: Sequence[_Unit],
        posterior: _UnitPosterior,
        index: InsertionIndex,
        tried: Flags,
    ) -> None:
        self.units, self.posterior, self.index, self.tried = units, posterior, index, tried
        self.count = stages
        self.stages = [f"s{stage}" for stage in range(1, stages + 1)]
        self.weights = np.array([unit.architectures for unit in units], dtype=float)
        self.levels = [unit.levels for unit in units]

    def effects(self) -> AttentionEffects:
        """All of them."""
        return AttentionEffects(
            self._table("stage", self.stages),
            self._table("position", [p for p in POSITIONS if self._has("position", p)]),
            self._by_ratio(),
            tuple(self._main_effects()),
            self._importances(),
            self.posterior.variance,
        )

    def _effect(self, **levels: str) -> Effect | None:
        """The mean of the units that have these levels; None if none was tried."""
        chosen = np.array([levels.items() <= each.items() for each in self.levels])
        if not chosen.any():
            return None
        weights = np.where(chosen, self.weights, 0.0)
        weights /= weights.sum()
        mean = float(weights @ self.posterior.gains)
        variance = max(0.0, float(weights @ self.posterior.covariance @ weights))
        reach = HALF_WIDTH * variance**0.5
        numbers = {unit.number for unit, flag in zip(self.units, chosen, strict=True) if flag}
        flags = [number in numbers for number in range(len(self.index.insertions))]
        count = int((self.index.having(flags) & self.tried).sum())
        return Effect(mean, mean - reach, mean + reach, count)

    def _has(self, factor: Factor, level: str) -> bool:
        return any(levels.get(factor) == level for levels in self.levels)

    def _level_names(self, factor: Factor) -> list[str]:
        """The levels of a factor that were tried, in the order in which they are shown."""
        names = {levels[factor] for levels in self.levels if factor in levels}
        if factor == "attention":
            known = [name for name in ATTENTIONS if name in names]
            return [*known, *sorted(names - set(ATTENTIONS))]
        if factor == "position":
            return [name for name in POSITIONS if name in names]
        return sorted(names, key=lambda name: int(name.removeprefix("s")))

    def _table(self, factor: Factor, columns: Sequence[str]) -> EffectTable:
        attentions = self._level_names("attention")
        cells = {
            (attention, column): effect
            for attention in attentions
            for column in columns
            if (effect := self._effect(**{"attention": attention, factor: column})) is not None
        }
        # A removal has a stage, but none of the positions.
        rows = dict.fromkeys(attention for attention, _ in cells)
        return EffectTable(tuple(rows), tuple(columns), cells)

    def _by_ratio(self) -> dict[str, list[tuple[int, Effect]]]:
        curves: dict[str, list[tuple[int, Effect]]] = {}
        for attention in self._level_names("attention"):
            for ratio in self._level_names("ratio"):
                effect = self._effect(attention=attention, ratio=ratio)
                if effect is not None:
                    curves.setdefault(attention, []).append((int(ratio), effect))
        return curves

    def _main_effects(self) -> Iterable[MainEffect]:
        for factor in FACTORS:
            for level in self._level_names(factor):
                effect = self._effect(**{factor: level})
                if effect is not None:
                    yield MainEffect(**vars(effect), factor=factor, level=level)

    def _importances(self) -> tuple[Importance, ...]:
        """The importances of the choices in each stage."""
        known: dict[tuple[Insertion, int], int] = {
            (unit.insertion, unit.stage): row for row, unit in enumerate(self.units)
        }
        posterior = self.posterior
        return estimate_importances(
            [
                [_stage_choice(architecture, stage, known) for stage in range(1, self.count + 1)]
                for architecture in posterior.trials
            ],
            self.stages,
            posterior.contributions,
            posterior.contributions_covariance,
            posterior.variance,
        )


def _stage_choice(
    architecture: Architecture, stage: int, units: Mapping[tuple[Insertion, int], int]
) -> StageChoice:
    """What an architecture has in a stage, as far as it is among the units."""
    present = [each for each in architecture.changes if (each, stage) in units]
    return StageChoice(
        tuple(units[each, stage] for each in present),
        tuple(each.attention for each in present),
        tuple(dict(each.options).get("r") for each in present),
    )
