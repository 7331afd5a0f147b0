"""Alternatives run beside the search, and change nothing about it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from attentune.errors import DataError
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs, Job
from attentune.search.run.alternative_trials import (
    alternative_job,
    lack_confirmation,
    prepare_alternatives,
)
from attentune.spaces.architecture import Architecture
from attentune.studies.alternatives import ALTERNATIVE_ROLES, Alternative, AlternativesPlan
from attentune.studies.records import FIRST_ALTERNATIVE_NUMBER
from optuna import load_study

EPOCHS = Alternative("epochs", "test_resnet", 32, 1.5, "half as many again", Costs(1000, 10))
LARGER = Alternative("backbone", "test_resnet2", 32, 1.0, "the next larger", Costs(5000, 50))
PLAN = AlternativesPlan((LARGER, EPOCHS))


def alternatives(bench: Any, name: str = "s") -> list[tuple[int, str, int, str, int]]:
    """What the database holds of the trials of alternatives."""
    trials = bench.store.trials.read_alternatives(name)
    return [(t.number, t.role, t.seed, t.state, t.epochs) for t in trials]


def completed(seeds: int) -> list[tuple[int, str, int, str, int]]:
    """Both alternatives of `PLAN`, complete with this many seeds."""
    rows = [("alternative:backbone", 3), ("alternative:epochs", 5)]
    return [
        (FIRST_ALTERNATIVE_NUMBER + 2 * seed + index, role, seed, "complete", epochs)
        for seed in range(seeds)
        for index, (role, epochs) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("workers", "sampler"),
    [(1, "tpe"), (3, "random"), pytest.param(1, "additive", marks=pytest.mark.slow)],
)
def test_alternatives_change_nothing_about_the_search(
    bench: Any, workers: int, sampler: str
) -> None:
    bench.pool.workers = workers
    bench.run("s", 6, bench.config(sampler=sampler), alternatives=PLAN)
    if workers == 1:
        bench.run("without", 6, bench.config(sampler=sampler))
        assert bench.rows("s") == bench.rows("without")
    assert len(bench.rows("s")) == 6
    assert alternatives(bench) == completed(1)
    assert len(load_study(study_name="s", storage=bench.store.url).trials) == 6
    assert sum(bench.store.studies.summarize()[0].counts.values()) == 6


def test_they_run_after_the_baselines_with_the_recipe_of_the_alternative(bench: Any) -> None:
    bench.run(
        "s", 7, bench.config(sampler="random", limits={"params": 1_000_000}), alternatives=PLAN
    )
    jobs = bench.pool.started
    first = next(i for i, job in enumerate(jobs) if job.number >= FIRST_ALTERNATIVE_NUMBER)
    assert first == len([t for t in bench.store.trials.read("s") if t.role == "baseline"])
    larger, longer = jobs[first : first + 2]
    assert str(larger.architecture) == "test_resnet2"
    assert longer.recipe.epochs == 5
    assert larger.limits == longer.limits == {}
    assert larger.measure == ()
    assert larger.costs == LARGER.costs


def test_they_run_with_every_seed_of_the_bare_backbone(bench: Any) -> None:
    space = {"attentions": ("none", "eca"), "granularity": "network"}
    config = bench.config(sampler="random", space=_space(**space))
    bench.run("s", 9, config, alternatives=PLAN)
    seeds = {t.seed for t in bench.store.trials.read("s") if t.architecture == "test_resnet"}
    assert len(seeds) > 1
    assert alternatives(bench) == completed(len(seeds))


def test_a_search_that_is_interrupted_again_and_again_is_the_same(bench: Any) -> None:
    def stop(study: Any, trial: Any, _: object) -> None:
        if trial.number >= FIRST_ALTERNATIVE_NUMBER:
            study.stop()

    bench.run("s", 6, bench.config(sampler="random"), alternatives=PLAN)
    bench.run("again", 6, bench.config(sampler="random"), alternatives=PLAN, on_epoch=stop)
    while len(bench.rows("again")) < 6 or "running" in {row[3] for row in bench.rows("again")}:
        bench.run("again", 6, alternatives=PLAN, on_epoch=stop)
    assert bench.rows("again") == bench.rows("s")
    assert alternatives(bench, "again") == alternatives(bench) == completed(1)


def test_a_finished_search_can_get_alternatives(bench: Any) -> None:
    bench.run("s", 6, bench.config(sampler="random"))
    coordinator = bench.run("s", 6, alternatives=PLAN)
    assert alternatives(bench) == completed(1)
    assert coordinator.done == 6
    assert coordinator.ended_extra_trials == 2
    assert [job.number for job in bench.pool.started] == [2_000_000, 2_000_001]


def test_a_plan_of_the_bare_backbone_alone_still_gets_them(bench: Any) -> None:
    bench.run("s", 1, bench.config(sampler="random"), alternatives=PLAN)
    assert alternatives(bench) == completed(1)


def test_one_that_fails_is_a_sentence_and_the_next_run_tries_again(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench.pool.fails_with = "test_resnet2"
    with caplog.at_level(logging.WARNING):
        bench.run("s", 9, bench.config(sampler="random"), alternatives=PLAN)
    assert "a larger backbone failed (error)" in caplog.text
    assert [row[3] for row in alternatives(bench)] == ["failed", "complete"]
    assert {row[3] for row in bench.rows("s")} == {"complete"}
    bench.pool.fails_with = ""
    bench.run("s", 9, alternatives=PLAN)
    assert [row[3] for row in alternatives(bench)] == ["failed", "complete", "complete"]


def test_a_worker_that_is_lost_costs_nothing(bench: Any) -> None:
    bench.pool.dies_after_epoch = [4]  # Only the alternative with more epochs has so many.
    bench.run("s", 6, bench.config(sampler="random"), alternatives=PLAN)
    assert alternatives(bench) == completed(1)


def test_they_are_never_pruned(bench: Any) -> None:
    config = bench.config(
        pruning={"pruner": "asha", "eta": 2}, recipe={"epochs": 8}, sampler="random"
    )
    bench.run("s", 11, config, alternatives=PLAN)
    assert "pruned" in {row[3] for row in bench.rows("s")}
    assert {row[3] for row in alternatives(bench)} == {"complete"}


def test_their_time_counts(bench: Any) -> None:
    bench.run("s", 6, bench.config(sampler="random"), alternatives=PLAN)
    epochs = 6 * 3 + 3 + 5
    assert bench.store.studies.device_seconds("s") == pytest.approx(0.5 * epochs)


def test_they_are_confirmed_with_the_fresh_seeds_of_the_bare_backbone(bench: Any) -> None:
    bench.run("s", 6, bench.config(sampler="random"), alternatives=PLAN)
    bench.confirm("s", seeds=2, top=1, alternatives=PLAN)
    trials = bench.store.trials.read_alternatives("s", confirming=True)
    assert [(t.number, t.role, t.seed) for t in trials] == [
        (3_000_000, "confirm:backbone", 1_000_000),
        (3_000_001, "confirm:epochs", 1_000_000),
        (3_000_002, "confirm:backbone", 1_000_001),
        (3_000_003, "confirm:epochs", 1_000_001),
    ]
    assert {t.epochs for t in trials} == {8, 12}
    jobs = [job for job in bench.pool.started if job.number >= 3_000_000]
    assert all(job.test for job in jobs)
    assert jobs == bench.pool.started[-4:]
    assert {row[1] for row in bench.confirming_rows("s")} >= {"test_resnet"}
    record = bench.store.studies.get("s")
    assert not lack_confirmation(
        PLAN,
        record.config.confirmation,
        bench.store.trials.read("s", confirming=True),
        trials,
        "test_resnet",
    )


def test_their_files_are_kept_while_they_run(bench: Any) -> None:
    def stop(study: Any, trial: Any, _: object) -> None:
        if trial.number >= FIRST_ALTERNATIVE_NUMBER:
            study.stop()

    bench.run("s", 6, bench.config(sampler="random"), alternatives=PLAN, on_epoch=stop)
    [number, *_] = [row[0] for row in alternatives(bench) if row[3] == "running"]
    checkpoint = bench.store.trial_folder("s", number) / "checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(b"state")
    during: list[bool] = []
    bench.run("s", 6, alternatives=PLAN, on_epoch=lambda *_: during.append(checkpoint.exists()))
    assert during[0]
    assert not checkpoint.exists()


def test_the_job_of_larger_images_scales_the_augmentation() -> None:
    recipe = Recipe.of(data="digits", image_size=32, epochs=3, crop=4, cutout=8)
    job = Job(1, Architecture("net"), recipe, 0, Path(), ("latency_ms",), {"params": 1.0})
    costs = Costs(10, 20, 1.5, 1.2)
    images = Alternative("images", "net", 40, 1.0, "the next size", costs)
    changed = alternative_job(job, images, recipe, "key")
    settings = (changed.recipe.image_size, changed.recipe.crop, changed.recipe.cutout)
    assert settings == (40, 5, 10)
    assert changed.recipe.lr == recipe.lr
    assert changed.costs == costs
    assert (changed.limits, changed.measure, changed.data_key) == ({}, (), "key")
    assert changed.identity != job.identity


def test_data_that_cannot_be_prepared_are_a_reason() -> None:
    def prepare(recipe: Recipe) -> str:
        if recipe.epochs == 12:
            return "key"
        raise (
            DataError("an image cannot be decoded")
            if recipe.image_size == 32
            else OSError(28, "No space left on device")
        )

    images = Alternative("images", "net", 40, 1.0, "the next size", Costs(10, 20))
    plan = AlternativesPlan((LARGER, EPOCHS, images))
    keys, reasons = prepare_alternatives(plan, Recipe.of(data="digits", image_size=32), prepare)
    assert keys == {"epochs": "key"}
    assert reasons["backbone"] == "an image cannot be decoded"
    assert "No space left on device" in reasons["images"]


def test_roles_tell_the_alternatives() -> None:
    assert len(set(ALTERNATIVE_ROLES.values())) == 3
    assert all(len(role) <= 20 for role in ALTERNATIVE_ROLES.values())


def _space(**fields: Any) -> Any:
    from attentune.spaces.search_space.space import load_space

    return load_space("quick", **fields)
