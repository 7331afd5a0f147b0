"""A damaged file of a trial costs that trial's progress: no failure, and never another result."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace

import pytest
import torch
from attentune.errors import DamagedFileError
from attentune.runners.events import Decision, EpochDone, Finished, Started
from attentune.runners.results import CHECKPOINT_FILE, PREDICTIONS_FILE, WEIGHTS_FILE
from attentune.runners.training.tensor_file import read_tensors
from attentune.runners.workers.checkpoint_schedule import TrialCheckpoints
from attentune.runners.workers.trained_weights import read_result
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse
from damaged_files import CHECKPOINT_FORGERIES, DAMAGES, RESULT_FORGERIES

CPU = torch.device("cpu")


def run(job, decisions=None):
    """All events of a trial; `decisions` after epochs, by number."""
    events = []

    def send(event):
        events.append(event)
        epoch = event.report.epoch if isinstance(event, EpochDone) else None
        return (decisions or {}).get(epoch, Decision.GO_ON)

    run_trial(job, send, device=CPU)
    return events


def pause(job):
    """Run a trial to the checkpoint after its first epoch."""
    run(job, {1: Decision.PAUSE})
    assert (job.folder / CHECKPOINT_FILE).is_file()


def curve(events):
    """What the epochs and the end of a trial say, without times."""
    reports = [e.report for e in events if isinstance(e, EpochDone)]
    end = events[-1]
    assert isinstance(end, Finished), end
    return [(r.epoch, r.train_loss, r.accuracy, r.val_loss) for r in reports], end.result.accuracy


def equal_weights(folder, other):
    first, second = (read_tensors(path / WEIGHTS_FILE) for path in (folder, other))
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


OTHER_IMAGES = 24 * "0"
"""The key of prepared data that no trial has trained on."""


@pytest.fixture(scope="module")
def short_job(cache, tmp_path_factory):
    del cache
    from attentune.runners.data import prepare_data
    from attentune.runners.recipe import Recipe
    from attentune.runners.results import Job

    recipe = Recipe.of(
        data="digits", image_size=16, epochs=2, batch_size=64, train_limit=128, ema=0.9, lr=2e-3
    )
    folder = tmp_path_factory.mktemp("trial") / "whole"
    images = prepare_data(recipe).folder
    shutil.copytree(images, images.with_name(OTHER_IMAGES), dirs_exist_ok=True)
    architecture = parse("test_resnet+eca@all.residual")
    return Job(7, architecture, recipe, 0, folder, data_key=images.name)


@pytest.fixture(scope="module")
def undisturbed(short_job):
    """The events of a trial that nothing has disturbed, whose weights are in its folder."""
    return run(short_job)


@pytest.fixture(scope="module")
def paused(short_job, tmp_path_factory):
    """A folder with the checkpoint after the first epoch."""
    job = replace(short_job, folder=tmp_path_factory.mktemp("paused"))
    pause(job)
    return job.folder


@pytest.fixture
def resumed(short_job, undisturbed, paused, tmp_path):
    """Continues the paused trial after a function has changed its checkpoint."""

    def resumed(damage):
        job = replace(short_job, folder=tmp_path / "trial")
        shutil.copytree(paused, job.folder)
        damage(job.folder / CHECKPOINT_FILE)
        events = run(job)
        assert curve(events)[1] == curve(undisturbed)[1]
        assert equal_weights(job.folder, short_job.folder)
        files = {WEIGHTS_FILE, CHECKPOINT_FILE, PREDICTIONS_FILE}
        assert {path.name for path in job.folder.iterdir()} <= files
        return events

    return resumed


def test_a_whole_checkpoint_is_used(resumed):
    events = resumed(lambda _: None)
    assert events[0].resumed_from == 1
    assert events[0].unusable is None


REFUSED_WHEN_TRAINING_BEGINS = (
    *("training epoch of a billion", "training epoch negative", "training epoch is a text"),
    *("training epoch missing", "steps of the average", "optimizer missing"),
    *("optimizer of other names", "optimizer is a number", "no tensors", "one more tensor"),
    *("a tensor too short", "a tensor in two dimensions", "a tensor of another type"),
    *("nan inside", "infinity inside"),
)
"""Forgeries that only the network or its optimizer can tell from a checkpoint."""
TRAINED = ("tensors zero", "last bit", "full folder", "named pipe", "accuracy nan")
"""Of the others, those for which a whole trial is trained here."""
CHECKPOINT_DAMAGES = DAMAGES | CHECKPOINT_FORGERIES


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in (*REFUSED_WHEN_TRAINING_BEGINS, *TRAINED)
        else pytest.param(name, marks=pytest.mark.slow)
        for name in CHECKPOINT_DAMAGES
    ],
)
def test_a_trial_with_a_damaged_checkpoint_begins_anew(name, resumed, undisturbed):
    events = resumed(CHECKPOINT_DAMAGES[name])
    begins = [event for event in events if isinstance(event, Started)]
    assert begins[-1].resumed_from == 0
    anew = events[events.index(begins[-1]) :]
    assert curve(anew) == curve(undisturbed)


@pytest.mark.parametrize(
    "name", sorted(CHECKPOINT_DAMAGES.keys() - set(REFUSED_WHEN_TRAINING_BEGINS))
)
def test_a_damaged_checkpoint_is_refused_before_the_trial_starts(name, short_job, paused, tmp_path):
    job = replace(short_job, folder=tmp_path / "trial")
    shutil.copytree(paused, job.folder)
    CHECKPOINT_DAMAGES[name](job.folder / CHECKPOINT_FILE)
    checkpoints = TrialCheckpoints(job)
    assert checkpoints.read() is None
    assert checkpoints.refusal
    assert not os.path.lexists(checkpoints.path)


OTHERS = {
    "architecture": {"architecture": parse("test_resnet+se(r=4)@all.residual")},
    "attention's option": {"architecture": parse("test_resnet+eca(k=5)@all.residual")},
    "seed": {"seed": 1},
    "images": {"data_key": OTHER_IMAGES},
    "split": {"test": True},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_the_checkpoint_of_another_trial_is_refused(change, short_job, resumed, tmp_path):
    other = replace(short_job, folder=tmp_path / "other", **change)
    pause(other)
    events = resumed(lambda path: shutil.copyfile(other.folder / CHECKPOINT_FILE, path))
    assert events[0].resumed_from == 0
    assert "of another trial" in events[0].unusable


def test_the_checkpoint_of_another_recipe_is_refused(short_job, resumed, tmp_path):
    recipe = short_job.recipe.model_copy(update={"lr": 1e-3})
    other = replace(short_job, folder=tmp_path / "other", recipe=recipe)
    pause(other)
    events = resumed(lambda path: shutil.copyfile(other.folder / CHECKPOINT_FILE, path))
    assert events[0].resumed_from == 0


@pytest.mark.parametrize("test", [False, True])
def test_a_result_that_was_not_recorded_is_taken_from_the_weights(short_job, tmp_path, test):
    job = replace(short_job, folder=tmp_path, test=test)
    first = run(job)
    before = (tmp_path / WEIGHTS_FILE).read_bytes()
    second = run(job)
    assert second[-1] == first[-1]
    assert [type(event) for event in second] == [type(e) for e in (*first[:2], *first[-2:])]
    assert second[-2] == first[-2]
    assert second[0].resumed_from == 2
    assert (tmp_path / WEIGHTS_FILE).read_bytes() == before


@pytest.mark.parametrize(
    "damage", [*DAMAGES.values(), *RESULT_FORGERIES.values()], ids=[*DAMAGES, *RESULT_FORGERIES]
)
def test_damaged_weights_give_no_result(damage, short_job, undisturbed, tmp_path):
    del undisturbed
    job = replace(short_job, folder=tmp_path)
    shutil.copyfile(short_job.folder / WEIGHTS_FILE, tmp_path / WEIGHTS_FILE)
    assert read_result(job) is not None
    damage(tmp_path / WEIGHTS_FILE)
    with contextlib.suppress(DamagedFileError):
        assert read_result(job) is None


@pytest.mark.parametrize("name", ["tensors zero", "full folder", "named pipe", "last bit"])
def test_a_trial_with_damaged_weights_is_trained_again(name, short_job, undisturbed, tmp_path):
    job = replace(short_job, folder=tmp_path)
    shutil.copyfile(short_job.folder / WEIGHTS_FILE, tmp_path / WEIGHTS_FILE)
    DAMAGES[name](tmp_path / WEIGHTS_FILE)
    events = run(job)
    assert events[0].unusable
    assert curve(events) == curve(undisturbed)
    assert equal_weights(tmp_path, short_job.folder)


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_the_result_of_another_trial_is_not_taken(change, short_job, undisturbed):
    del undisturbed
    with pytest.raises(DamagedFileError, match="of another trial"):
        read_result(replace(short_job, **change))


def test_a_result_is_taken_although_the_images_are_not_known(short_job, undisturbed):
    assert read_result(replace(short_job, data_key=None)).result == undisturbed[-1].result
