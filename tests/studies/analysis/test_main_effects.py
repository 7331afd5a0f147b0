"""Main effects: planted ones are found, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.analysis.main_effects import estimate_main_effects
from example_records import trial
from planted_accuracies import STAGES, every_architecture, points, points_of


def effect(effects, level: str):
    return next(e for e in effects if e.level == level)


def test_planted_effects_are_found_in_points_per_stage() -> None:
    effects = estimate_main_effects(points(noise=0.001), STAGES)
    assert {(e.factor, e.level) for e in effects} == {
        *(("attention", name) for name in ("se", "eca")),
        *(("stage", f"s{n}") for n in (1, 2, 3)),
        *(("ratio", r) for r in ("4", "16")),
    }
    # On average over the stages 4/3 of the single one, and SE's ratios are 0.02 and 0.01.
    assert effect(effects, "se").mean == pytest.approx(0.015 * 4 / 3, abs=0.003)
    assert effect(effects, "eca").mean == pytest.approx(-0.01 * 4 / 3, abs=0.003)
    assert effect(effects, "eca").high < 0
    assert effect(effects, "4").mean - effect(effects, "16").mean == pytest.approx(
        0.0133, abs=0.003
    )
    assert effect(effects, "s3").mean > effect(effects, "s1").mean
    assert effect(effects, "se").architectures == sum(
        "se(" in text for text in every_architecture()
    )


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
        eca = effect(estimate_main_effects(points_of(rows), STAGES), "eca")
        inside += eca.low <= 0.02 <= eca.high
    assert 180 <= inside <= 199  # 95 % of 200 is 190, with a deviation of 3


def test_what_the_architectures_do_not_tell_apart_is_left_out() -> None:
    assert estimate_main_effects((), STAGES) == ()
    assert estimate_main_effects(points(take=3), STAGES) == ()
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
    assert {
        e.level for e in estimate_main_effects(together, STAGES) if e.factor == "attention"
    } <= {"ca"}


def test_an_attention_everywhere_counts_in_every_stage() -> None:
    rows = points_of(
        [
            trial(0, "net", 0.70),
            trial(1, "net+se(r=4)@all.residual", 0.76),
            trial(2, "net+se(r=4)@s1.residual", 0.72),
            trial(3, "net+se(r=4)@s2-s3.residual", 0.74),
        ]
    )
    assert effect(estimate_main_effects(rows, STAGES), "se").mean == pytest.approx(0.02)
