"""A confirmation as the coordinator runs it: fresh seeds, resumable, apart from the search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attentune.errors import StudyError, UsageError
from attentune.runners.data.dataset import DataInfo
from attentune.runners.data.preprocessing import Preprocessing
from attentune.search.run.confirm import (
    FRESH_SEED_OFFSET,
    ConfirmRequest,
    StudyTrials,
    plan_confirmation,
    prepare_splits,
)
from attentune.studies.config import Pruning
from attentune.studies.records import CONFIRM, FIRST_CONFIRMING_NUMBER


def confirming(bench, name="s"):
    return bench.store.trials.read(bench.store.studies.get(name), confirming=True)


def test_finalists_and_baselines_run_with_fresh_seeds_longer_and_on_the_test_split(bench):
    bench.run("s", 12, bench.config(seed=5))
    bench.confirm("s", seeds=3)
    trials = confirming(bench)
    plan = bench.store.studies.get("s").config.confirmation
    assert plan is not None
    assert (plan.seeds, plan.epochs, plan.searched_epochs) == (3, 8, 3)  # 2.5 × 3, rounded up
    searched = {t.architecture for t in bench.store.trials.read(bench.store.studies.get("s"))}
    baselines = {
        t.architecture
        for t in bench.store.trials.read(bench.store.studies.get("s"))
        if t.role == "baseline" and t.seed == 5
    }
    assert baselines < set(plan.architectures) <= searched
    assert len(trials) == 3 * len(plan.architectures)
    assert {t.seed for t in trials} == {5 + FRESH_SEED_OFFSET + i for i in range(3)}
    assert {t.role for t in trials} == {CONFIRM}
    assert {t.epochs for t in trials} == {8}
    assert min(t.number for t in trials) == FIRST_CONFIRMING_NUMBER
    assert all(job.test and job.recipe.epochs == 8 for job in bench.pool.started)


def test_whole_rounds_come_first(bench):
    bench.run("s", 10, bench.config())
    bench.confirm("s", seeds=2)
    seeds = [t.seed for t in confirming(bench)]
    assert seeds == sorted(seeds)


def test_an_interrupted_confirmation_continues_from_its_last_epoch(bench):
    bench.run("s", 10, bench.config())

    def interrupt(study, trial, _report):
        if trial.number == FIRST_CONFIRMING_NUMBER + 4:
            study.stop()

    bench.confirm("s", seeds=2, epochs=5, on_epoch=interrupt)
    running = [t for t in confirming(bench) if t.state == "running"]
    assert [t.number for t in running] == [FIRST_CONFIRMING_NUMBER + 4]
    bench.confirm("s")
    assert bench.pool.started[0].number == FIRST_CONFIRMING_NUMBER + 4
    halves = bench.confirming_rows("s")
    bench.run("whole", 10, bench.config())
    bench.confirm("whole", seeds=2, epochs=5)
    assert halves == bench.confirming_rows("whole")


def test_another_call_adds_only_what_is_new(bench):
    bench.run("s", 10, bench.config())
    bench.confirm("s", seeds=2, top=1)
    first = len(confirming(bench))
    bench.confirm("s")
    assert not bench.pool.started
    bench.confirm("s", seeds=3)
    assert len(confirming(bench)) == first * 3 // 2
    assert {job.seed for job in bench.pool.started} == {FRESH_SEED_OFFSET + 2}


def test_every_split_has_images_and_fresh_seeds_of_its_own(bench):
    bench.run("s", 8, bench.config(seed=5))
    bench.confirm("s", seeds=2, top=1, epochs=4)
    before = bench.confirming_rows("s")
    bench.confirm("s", splits=3)
    plan = bench.store.studies.get("s").config.confirmation
    assert len(confirming(bench)) == 3 * len(before)
    assert bench.confirming_rows("s")[: len(before)] == before
    first = 5 + FRESH_SEED_OFFSET
    images = {(job.seed, job.recipe.data_seed, job.data_key) for job in bench.pool.started}
    assert images == {
        (first + 1000 * split + seed, bench.config().recipe.data_seed + split, f"split {split}")
        for split in (1, 2)
        for seed in (0, 1)
    }
    record = bench.store.studies.get("s")
    for job in bench.pool.started:
        assert record.config.recipe_of(CONFIRM, job.recipe.epochs, job.seed) == job.recipe
    assert plan.splits == 3
    with pytest.raises(StudyError, match="has been confirmed on 3 splits already"):
        bench.confirm("s", splits=2)


def test_splits_are_counted_when_they_are_prepared_and_refused_beside_a_test_split(bench, tmp_path):
    bench.run("s", 8, bench.config())
    run = bench._study_run("s")
    asked = ConfirmRequest(splits=2)
    plan = plan_confirmation(run, StudyTrials.read(bench.store, run.record), asked)
    np.save(tmp_path / "test.labels.npy", np.array([0, 1, 1, 1]))
    info = DataInfo(
        name="photos",
        classes=("cat", "dog"),
        counts={"train": 12, "val": 4, "test": 4},
        held_out=("val", "test"),
        preprocessing=Preprocessing(8),
        flip=True,
        crop=1,
        folder=tmp_path,
    )
    recipes = []
    plan, data = prepare_splits(run, plan, lambda recipe: recipes.append(recipe) or info)
    assert (plan.train_images, plan.test_images, plan.majority_share) == (12, 4, 0.75)
    assert len(data) == 2
    first = run.config.recipe.data_seed
    assert [recipe.data_seed for recipe in recipes] == [first, first + 1]
    with pytest.raises(StudyError, match="photos has a test split of its own"):
        prepare_splits(run, plan, lambda _: replace(info, held_out=("val",)))
    # In a cross-validation each split has a fold of its own, after that of the search.
    recipe = run.config.recipe.model_copy(update={"fold": "2/3"})
    run = replace(run, config=run.config.model_copy(update={"recipe": recipe}))
    recipes.clear()
    prepare_splits(run, replace(plan, splits=3), lambda recipe: recipes.append(recipe) or info)
    assert [recipe.fold for recipe in recipes] == ["2/3", "3/3", "1/3"]
    assert {recipe.data_seed for recipe in recipes} == {first}
    with pytest.raises(StudyError, match="searched on fold 2/3, so there are only 3 splits"):
        prepare_splits(run, replace(plan, splits=4), lambda _: info)


def test_a_second_confirmation_with_other_epochs_is_refused(bench):
    bench.run("s", 10, bench.config())
    bench.confirm("s", seeds=2, epochs=4)
    with pytest.raises(StudyError, match="confirmed with 4 epochs already"):
        bench.confirm("s", epochs=6)


def test_a_study_without_a_complete_backbone_cannot_be_confirmed(bench):
    bench.run("s", 0 + 1, bench.config())
    bench.confirm("s", seeds=2)  # The bare backbone alone can be confirmed.
    assert {t.architecture for t in confirming(bench)} == {"test_resnet"}
    config = bench.config()
    bench.create("empty", config)
    with pytest.raises(StudyError, match="not complete yet"):
        bench.confirm("empty")


def test_what_failed_is_tried_again_by_the_next_call(bench):
    bench.run("s", 8, bench.config())
    bench.confirm("s", seeds=2, top=1, epochs=4)
    wanted = {(t.architecture, t.seed) for t in confirming(bench)}
    bench.run("t", 8, bench.config())
    bench.pool.dies_after_epoch = [1, 1, 1]  # the first trial loses three workers
    bench.confirm("t", seeds=2, top=1, epochs=4)
    assert [t.state for t in confirming(bench, "t")].count("failed") == 1
    bench.confirm("t")
    complete = [t for t in confirming(bench, "t") if t.state == "complete"]
    assert {(t.architecture, t.seed) for t in complete} == wanted


@pytest.mark.parametrize("sampler", ["tpe", "additive", "random"])
def test_a_confirmation_in_between_changes_nothing_for_the_search(bench, sampler):
    bench.run("whole", 16, bench.config(sampler=sampler))
    bench.run("s", 10, bench.config(sampler=sampler))
    bench.confirm("s", seeds=2)
    spent = bench.store.studies.spent_seconds("s")
    assert spent < 60
    bench.run("s", 16)
    assert bench.rows("s") == bench.rows("whole")


def test_in_a_study_that_prunes_no_confirming_trial_is_pruned(bench):
    """Each is judged on the test split, which it reaches only at its end."""
    pruning = Pruning(pruner="asha", first=2 / 9, eta=2, signal="accuracy")
    bench.run("s", 20, bench.config(sampler="random", pruning=pruning, recipe={"epochs": 9}))
    assert "pruned" in {trial.state for trial in bench.store.trials.read("s")}
    bench.confirm("s", seeds=3)
    assert {trial.state for trial in confirming(bench)} == {"complete"}


@pytest.mark.parametrize(
    "number",
    [
        {"top": 0},
        {"seeds": 1},
        {"epochs": 0},
        {"workers": -1},
        {"seeds": 10**6},
        {"splits": 0},
        {"splits": 10**6},
        {"epochs": 10**23},
    ],
    ids=str,
)
def test_a_request_that_confirms_nothing_or_for_ever_is_refused(number):
    [name] = number
    with pytest.raises(UsageError, match=f"confirm: {name} has to be at least"):
        ConfirmRequest(**number)
