"""The follower: what it reads, in which order, and what it does after an error."""

from __future__ import annotations

import pytest
from attentune.errors import StudyError
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.followers.follow import (
    MAX_PROGRESS_STEPS,
    MAX_TRIALS_FOR_STEPS,
    StudyFollower,
    progress_steps,
)
from attentune.studies.records import CONFIRM, FIRST_CONFIRMING_NUMBER

TEXTS = ("resnet18", "resnet18+se(r=16)@all.residual", "resnet18+eca@s2.residual")


class Notebook:
    """A tracker that keeps what it is asked to log, over several openings."""

    def __init__(self):
        self.lines, self.epochs, self.ended = [], {}, {}
        self.progress, self.fails = 0, False

    def open(self, _study):
        return self

    def is_complete(self, number):
        return number in self.ended

    def start_trial(self, trial):
        if self.fails:
            raise ConnectionError("no server")
        self.lines.append(("start", trial.number))
        return self.epochs.get(trial.number, 0)

    def log_epochs(self, number, epochs):
        self.lines += [("epoch", number, epoch.epoch) for epoch in epochs]
        self.epochs[number] = epochs[-1].epoch

    def end_trial(self, number, end):
        self.ended[number] = end
        self.lines.append(("end", number, end.state))

    def last_progress(self):
        return self.progress

    def log_progress(self, progress):
        self.progress = progress.ended

    def close(self):
        self.lines.append(("close",))


@pytest.fixture
def notebook():
    return Notebook()


@pytest.fixture
def follower(store, study, notebook):
    return StudyFollower(store, "first", notebook.open)


def test_a_running_trial_is_logged_epoch_by_epoch(follower, notebook, store, study, epoch, result):
    store.trials.start(study, 0, parse(TEXTS[0]), seed=0)
    follower.update()
    store.epochs.record(study, 0, epoch(1))
    follower.update()
    follower.update()
    store.epochs.record(study, 0, epoch(2))
    store.trials.finish(study, 0, result())
    follower.update()
    follower.update()
    assert notebook.lines == [
        ("start", 0),
        ("epoch", 0, 1),
        ("epoch", 0, 2),
        ("end", 0, "complete"),
    ]
    assert notebook.progress == 1
    assert follower.complete == 1


def test_confirming_trials_are_logged_and_are_no_progress_of_the_search(
    follower, notebook, store, study, add, result
):
    add(TEXTS[0], 0.5)
    number = FIRST_CONFIRMING_NUMBER
    store.trials.start(study, number, parse(TEXTS[0]), seed=10**6, role=CONFIRM)
    store.trials.finish(study, number, result(0.4))
    follower.update()
    assert notebook.ended[number].metrics["test_accuracy"] == pytest.approx(0.4)
    assert notebook.progress == 1


def test_a_trial_that_a_limit_rejects_ends_its_run(follower, notebook, store, study):
    architecture = parse(TEXTS[1])
    store.trials.start(study, 0, architecture, seed=0)
    follower.update()
    store.trials.reject(study, architecture, "params is 9, above the limit of 8", number=0)
    follower.update()
    follower.update()
    assert notebook.lines == [("start", 0), ("end", 0, "rejected")]
    assert notebook.ended[0].facts == {"note": "params is 9, above the limit of 8"}


def test_after_an_error_the_tracker_is_opened_again_and_nothing_is_missing(
    follower, notebook, store, study, add
):
    add(TEXTS[0], 0.5)
    follower.update()
    add(TEXTS[1], 0.6)
    notebook.fails = True
    with pytest.raises(ConnectionError):
        follower.update()
    store.trials.start(study, 2, parse(TEXTS[2]), seed=0)
    store.trials.fail(study, 2, Failure("error", "boom"))
    notebook.fails = False
    follower.update()
    numbers = [line[1] for line in notebook.lines if line[0] == "end"]
    assert numbers == [0, 1, 2]
    assert ("close",) in notebook.lines


def test_a_study_that_is_being_set_up_has_nothing_to_log(store, notebook):
    store.studies.create(
        "new", backbone="x", objectives=("accuracy",), config={"request": {}}, seed=0
    )
    StudyFollower(store, "new", notebook.open).update()
    assert not notebook.lines


def test_a_study_that_does_not_exist_is_an_error(store, notebook):
    with pytest.raises(StudyError):
        StudyFollower(store, "nothing", notebook.open).update()


def test_the_curve_of_a_study_has_few_steps_and_ends_with_the_last_trial():
    assert progress_steps(0, 3) == [1, 2, 3]
    assert progress_steps(3, 3) == []
    many = progress_steps(10, 500)
    assert len(many) == MAX_PROGRESS_STEPS
    assert (many[0] > 10, many[-1]) == (True, 500)
    assert many == sorted(set(many))
    assert progress_steps(0, MAX_TRIALS_FOR_STEPS + 1) == [MAX_TRIALS_FOR_STEPS + 1]
