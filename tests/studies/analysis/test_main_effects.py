"""What each choice is worth, and how a search went: planted effects are found, and no others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.findings import ArchitectureSummary
from attentune.studies.analysis.hypervolume import hypervolume, hypervolume_history
from attentune.studies.analysis.importance import importances
from attentune.studies.analysis.main_effects import main_effects
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.objectives import OBJECTIVES
from attentune.studies.records import TrialRecord
from example_records import study, trial

STAGES = 3
WORTH = {"none": 0.0, "se(r=4)": 0.02, "se(r=16)": 0.01, "eca": -0.01}


def every_architecture() -> dict[str, float]:
    """All 64 choices for three stages, with what they are truly worth; stage 3 counts double."""
    found = {}
    for choice in itertools.product(WORTH, repeat=STAGES):
        parts = [
            f"+{name}@s{stage}.residual"
            for stage, name in enumerate(choice, start=1)
            if name != "none"
        ]
        gain = sum(WORTH[name] * (2 if stage == 2 else 1) for stage, name in enumerate(choice))
        found["net" + "".join(parts)] = 0.7 + gain
    return found


def points_of(rows) -> tuple[ArchitectureSummary, ...]:
    return analyse(study(), list(rows)).architectures


def points(noise: float = 0.0, seed: int = 0, take: int = 64) -> tuple[ArchitectureSummary, ...]:
    rng = np.random.default_rng(seed)
    rows = list(every_architecture().items())
    order = rng.permutation(len(rows))[:take]
    return points_of(
        trial(i, rows[at][0], rows[at][1] + noise * rng.normal()) for i, at in enumerate(order)
    )


def effect(found, level: str):
    return next(e for e in found if e.level == level)


def test_planted_effects_are_found_in_points_per_stage() -> None:
    found = main_effects(points(noise=0.001), STAGES)
    assert {(e.factor, e.level) for e in found} == {
        *(("attention", name) for name in ("se", "eca")),
        *(("stage", f"s{n}") for n in (1, 2, 3)),
        *(("ratio", r) for r in ("4", "16")),
    }
    # On average over the stages 4/3 of the single one, and SE's ratios are 0.02 and 0.01.
    assert effect(found, "se").mean == pytest.approx(0.015 * 4 / 3, abs=0.003)
    assert effect(found, "eca").mean == pytest.approx(-0.01 * 4 / 3, abs=0.003)
    assert effect(found, "eca").high < 0
    assert effect(found, "4").mean - effect(found, "16").mean == pytest.approx(0.0133, abs=0.003)
    assert effect(found, "s3").mean > effect(found, "s1").mean
    assert effect(found, "se").architectures == sum("se(" in text for text in every_architecture())


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    texts = {text: 0.7 + (0.02 if "eca" in text else 0.0) for text in every_architecture()}
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(list(texts))[:30]
        rows = [
            trial(i, text, 0.7 + 0.02 * str(text).count("eca") + 0.01 * rng.normal())
            for i, text in enumerate(map(str, chosen))
        ]
        eca = effect(main_effects(points_of(rows), STAGES), "eca")
        inside += eca.low <= 0.02 <= eca.high
    assert 180 <= inside <= 199  # 95 % of 200 is 190, with a deviation of 3


def test_what_the_architectures_do_not_tell_apart_is_left_out() -> None:
    assert main_effects((), STAGES) == ()
    assert main_effects(points(take=3), STAGES) == ()
    together = points_of(
        trial(i, text, 0.7 + 0.01 * i)
        for i, text in enumerate(
            [
                "net",
                "net+se@s1.residual+eca@s2.residual",
                "net+se@s1.residual+eca@s2.residual+ca@s3.residual",
                "net+ca@s3.residual",
                "net+ca@s2.residual",
                "net+ca@s1.residual",
            ]
        )
    )
    assert {e.level for e in main_effects(together, STAGES) if e.factor == "attention"} <= {"ca"}


def test_an_attention_everywhere_counts_in_every_stage() -> None:
    rows = points_of(
        [
            trial(0, "net", 0.70),
            trial(1, "net+se(r=4)@all.residual", 0.76),
            trial(2, "net+se(r=4)@s1.residual", 0.72),
            trial(3, "net+se(r=4)@s2-s3.residual", 0.74),
        ]
    )
    assert effect(main_effects(rows, STAGES), "se").mean == pytest.approx(0.02)


def test_importances_point_at_the_stage_that_matters() -> None:
    shares = importances(points(), STAGES)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares, key=shares.__getitem__) == "s3"
    assert importances(points(take=4), STAGES) == {}
    equal = points_of(trial(i, text, 0.7) for i, text in enumerate(every_architecture()))
    assert importances(equal, STAGES) == {}


def test_the_hypervolume_of_boxes_worked_by_hand() -> None:
    assert hypervolume(np.array([[0.5, 0.5]])) == pytest.approx(0.25)
    assert hypervolume(np.array([[0.2, 0.6], [0.6, 0.2], [0.7, 0.7]])) == pytest.approx(0.48)
    assert hypervolume(np.array([[1.0, 0.0]])) == 0.0


def test_the_course_grows_with_what_was_trained() -> None:
    objectives = [OBJECTIVES["accuracy"], OBJECTIVES["params"]]

    def ended(number: int, text: str, accuracy: float, params: int) -> TrialRecord:
        return trial(number, text, accuracy, params=params, seconds=2.0)

    trials = [
        ended(0, "net", 0.6, 100),
        ended(1, "net+se(r=4)@s1.residual", 0.8, 140),
        ended(2, "net+se(r=8)@s1.residual", 0.7, 120),
        ended(3, "net+eca@s1.residual", 0.65, 200),
    ]
    steps = hypervolume_history(TrialTable.of(trials).rows, objectives)
    assert [step.epochs for step in steps] == [8, 16, 24, 32]
    assert [step.seconds for step in steps] == [2.0, 4.0, 6.0, 8.0]
    volumes = [step.volume for step in steps]
    assert volumes == sorted(volumes)
    # Trial 1 alone is at (0, 0.4) of the box from 0.6 to 0.8 and from 100 to 200 parameters.
    assert volumes[1] == pytest.approx(0.6)
    assert volumes[2] == pytest.approx(0.6 + 0.5 * 0.2)
    assert volumes[3] == volumes[2]
    assert hypervolume_history(TrialTable().rows, objectives) == ()
