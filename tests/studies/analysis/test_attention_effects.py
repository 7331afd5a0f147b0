"""The effects of attentions: against planted truth, and never in contradiction to one another."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.spaces.architecture import Architecture, parse
from attentune.studies.analysis.attention_effects import (
    AttentionEffects,
    Effect,
    estimate_attention_effects,
)
from attentune.studies.analysis.insertion_index import InsertionIndex
from attentune.studies.estimator.study_model import StudyModel

BARE = parse("net")
PLANTED = {"se": 0.03, "ca": 0.01, "eca": 0.0, "cbam": -0.03}
"""What each attention adds in each stage."""


def random_architecture(rng: np.random.Generator, stages: int = 3) -> Architecture:
    """An attention, or none, in every stage."""
    text = BARE.backbone
    for stage in range(1, stages + 1):
        name = rng.choice(["none", *PLANTED])
        if name != "none":
            ratio = "" if name == "eca" else f"(r={rng.choice([4, 16])})"
            text += f"+{name}{ratio}@s{stage}.{rng.choice(['residual', 'post'])}"
    return parse(text)


def effects_of(
    trials: list[tuple[Architecture, int, float | None]], stages: int = 3
) -> AttentionEffects:
    """The effects from the trials of a study: architecture, seed, and accuracy or None."""
    model = StudyModel(stages)
    for number, (architecture, seed, end) in enumerate(trials):
        model.add_trial(number, architecture, seed, end)
    architectures = list(dict.fromkeys(architecture for architecture, _, _ in trials))
    index = InsertionIndex(stages).extend([str(architecture) for architecture in architectures])
    complete = {architecture for architecture, _, end in trials if end is not None}
    bare = BARE if BARE in complete else None
    return estimate_attention_effects(
        model, model.histories, index, np.ones(len(architectures), bool), bare
    )


def random_trials(
    rng: np.random.Generator, count: int, noise: float
) -> list[tuple[Architecture, int, float | None]]:
    trials: list[tuple[Architecture, int, float | None]] = [(BARE, 0, 0.6)]
    for _ in range(count):
        architecture = random_architecture(rng)
        seed = int(rng.choice([0, 0, 0, 1]))
        added = sum(PLANTED[insertion.attention] for insertion in architecture.insertions)
        end = 0.6 + added + 0.01 * seed + noise * rng.standard_normal()
        trials.append((architecture, seed, None if rng.random() < 0.15 else float(end)))
    return trials


def test_planted_effects_are_found_with_intervals_that_hold_them() -> None:
    effects = effects_of(random_trials(np.random.default_rng(1), 70, 0.005))
    by_name = {e.level: e for e in effects.main if e.factor == "attention"}
    for name, planted in PLANTED.items():
        assert by_name[name].low <= planted <= by_name[name].high, name
    assert by_name["se"].excludes_zero
    assert by_name["cbam"].excludes_zero
    assert not by_name["eca"].excludes_zero
    assert sum(each.share for each in effects.importances) > 0.7


@pytest.mark.parametrize("seed", range(12))
def test_effects_never_contradict_one_another(seed: int) -> None:
    """An effect over several cells is between the least and the greatest of them, so that it has
    a sign that none of them has in no table."""
    rng = np.random.default_rng(seed)
    effects = effects_of(
        random_trials(rng, int(rng.integers(4, 40)), float(rng.choice([0.01, 0.05])))
    )
    main = {(e.factor, e.level): e for e in effects.main}

    def lies_within(effect: Effect, cells: list[Effect]) -> bool:
        means = [cell.mean for cell in cells]
        return min(means) - 1e-9 <= effect.mean <= max(means) + 1e-9

    for table, factor in ((effects.by_stage, "stage"), (effects.by_position, "position")):
        for name in table.attentions:
            row = [effect for (attention, _), effect in table.cells.items() if attention == name]
            assert lies_within(main["attention", name], row)
        for column in table.columns:
            cells = [effect for (_, where), effect in table.cells.items() if where == column]
            assert not cells or lies_within(main[factor, column], cells)
    for name, curve in effects.by_ratio.items():
        assert lies_within(main["attention", name], [effect for _, effect in curve])
    for effect in main.values():
        assert effect.low <= effect.mean <= effect.high


def test_the_error_of_the_bare_backbone_is_part_of_every_interval() -> None:
    trials = random_trials(np.random.default_rng(3), 60, 0.02)
    more = [(BARE, seed, 0.6 + 0.01 * (seed == 1)) for seed in range(1, 9)]
    narrow, wide = (
        {e.level: e.high - e.low for e in effects_of(t).main} for t in ([*trials, *more], trials)
    )
    assert all(narrow[level] < wide[level] for level in PLANTED)


def test_pruned_trials_count_as_tried() -> None:
    trials = [(BARE, 0, 0.6), (parse("net+se(r=4)@s1.residual"), 0, 0.61)]
    trials.append((parse("net+eca@s2.residual"), 0, None))
    effects = effects_of(trials)
    assert effects.by_stage.cells["eca", "s2"].architectures == 1
    assert ("eca", "s1") not in effects.by_stage.cells


def test_an_insertion_in_all_stages_counts_in_each() -> None:
    effects = effects_of([(BARE, 0, 0.6), (parse("net+se(r=4)@all.residual"), 0, 0.63)])
    assert {column for _, column in effects.by_stage.cells} == {"s1", "s2", "s3"}
    assert {effect.architectures for effect in effects.main} == {1}


def test_without_the_bare_backbone_there_is_no_reference() -> None:
    assert effects_of([(parse("net+eca@s1.residual"), 0, 0.6)]) == AttentionEffects()
    assert effects_of([(BARE, 0, 0.6)]) == AttentionEffects()
