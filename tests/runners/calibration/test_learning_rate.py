"""The learning rate is tuned in a few attempts, whose losses are made up here."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from attentune.errors import TrialError
from attentune.runners.calibration import learning_rate
from attentune.runners.calibration.learning_rate import MAX_COST_TRIALS
from attentune.runners.events import Decision, EpochDone, Failed, Finished
from attentune.runners.recipe import Recipe
from attentune.runners.results import EpochReport, Failure
from attentune.spaces.architecture import Architecture


class LossLandscapePool:
    """A pool whose trials have a validation loss computed from rate and decay by `loss`."""

    def __init__(self, loss) -> None:
        self.loss, self.idle, self.queue, self.epochs = loss, 2, [], 0
        self.jobs, self.probe_loss = [], None

    def start(self, job) -> None:
        self.idle -= 1
        self.jobs.append(job)
        value = self.loss(job.recipe.lr, job.recipe.decay)
        if job.recipe.attention_lr is not None and job.architecture.insertions:
            value = self.probe_loss(job.recipe.attention_lr / job.recipe.lr)
        self.epochs += job.recipe.epochs
        if value is None:
            self.queue.append(Failed(job.number, Failure("diverged", "the loss was nan")))
            return
        for epoch in range(job.recipe.epochs):
            report = EpochReport(epoch + 1, 1.0, 0.5, value, job.recipe.lr, 1.0)
            if job.metric == "calibrated_log_loss":
                report = replace(report, val_loss=1 / (1 + value), metric_score=-value)
            self.queue.append(EpochDone(job.number, report))
        self.queue.append(Finished(job.number, None))

    def events(self, timeout):
        assert timeout > 0
        self.idle, events, self.queue = 2, self.queue, []
        return events

    def reply(self, number, decision) -> None:
        assert decision is Decision.GO_ON, number

    def close(self) -> None:
        self.queue = None


@pytest.fixture
def landscape(monkeypatch):
    def tuned(loss, **fields):
        pool = LossLandscapePool(loss)
        monkeypatch.setattr(learning_rate, "LocalPool", lambda _: pool)
        recipe = Recipe.of(**{"data": "digits", "image_size": 16, "epochs": 8, **fields})
        tuning = learning_rate.tune_learning_rate("test_resnet", recipe, ["cpu", "cpu"])
        assert pool.epochs <= MAX_COST_TRIALS * recipe.epochs
        assert pool.queue is None, "the pool is closed"
        return tuning.recipe, [(attempt.lr, attempt.decay) for attempt in tuning.attempts]

    return tuned


def valley(bottom):
    return lambda lr, decay: abs(math.log2(lr / bottom)) + abs(decay - 0.4)


def test_pretrained_weights_are_tuned_by_the_calibrated_loss(landscape):
    recipe, _ = landscape(valley(1.0), lr=0.01, init="pretrained", attention_lr=0.04)
    assert recipe.lr == 0.04
    recipe, _ = landscape(valley(0.001), lr=0.01, init="pretrained", attention_lr=0.04)
    assert recipe.lr == 0.005


def test_tuning_goes_on_in_the_better_direction_and_tries_a_longer_decay(landscape):
    recipe, tried = landscape(valley(1.0), lr=0.01)
    assert tried == [(0.01, 0.4), (0.02, 0.4), (0.04, 0.4), (0.02, 0.7)]
    assert recipe.lr == 0.04
    recipe, tried = landscape(valley(0.001), lr=0.01)
    assert tried == [(0.01, 0.4), (0.02, 0.4), (0.005, 0.4), (0.01, 0.7)]
    assert recipe.lr == 0.005
    recipe, _ = landscape(lambda lr, decay: abs(math.log2(lr / 0.01)) - decay, lr=0.01)
    assert (recipe.lr, recipe.decay) == (0.01, 0.7)
    _, tried = landscape(valley(0.01), lr=0.01, schedule="onecycle")
    assert len(tried) == 3


@pytest.mark.parametrize("epochs", range(1, 12))
def test_tuning_never_costs_more_than_two_trials(landscape, epochs):
    recipe, tried = landscape(valley(1.0), lr=0.01, epochs=epochs)
    assert recipe.epochs == epochs
    assert len(tried) == (2 if epochs == 1 else 4)


def test_tuning_backs_off_from_rates_that_diverge_and_says_if_all_do(landscape):
    recipe, tried = landscape(lambda lr, _: None if lr > 0.05 else 1 / lr, lr=1.0)
    assert [lr for lr, _ in tried] == pytest.approx([1.0, 2.0, 0.1, 0.01])
    assert recipe.lr == pytest.approx(0.01)
    with pytest.raises(TrialError, match=r"diverges at every learning rate.*--lr"):
        landscape(lambda *_: None)


# --- the rate of what is new, with a probe --------------------------------------------------------

PROBE = Architecture.parse("test_resnet+se(r=4,start=identity)@all.residual")


@pytest.fixture
def probed(monkeypatch):
    def tuned(probe_loss, **options):
        pool = LossLandscapePool(valley(0.02))
        pool.probe_loss = probe_loss
        monkeypatch.setattr(learning_rate, "LocalPool", lambda _: pool)
        fields = {"lr": 0.01, "attention_lr": 0.04, "epochs": 8, "head_epochs": 2}
        recipe = Recipe.of(data="photos", image_size=16, init="pretrained", **fields)
        tuning = learning_rate.tune_learning_rate(
            "test_resnet", recipe, ["cpu", "cpu"], probe=PROBE, **options
        )
        attempts = [(attempt.lr, attempt.attention_lr) for attempt in tuning.attempts]
        return tuning.recipe, attempts, pool

    return tuned


def test_the_rate_of_what_is_new_is_tuned_on_the_probe_at_the_rate_that_won(probed):
    recipe, attempts, pool = probed(lambda factor: factor)
    assert (recipe.lr, recipe.attention_lr) == (0.02, 0.02)
    # Four attempts with the bare backbone, in which what is new is four times as fast; two with
    # the probe.
    assert attempts[:2] == [(0.01, 0.04), (0.02, 0.08)]
    assert attempts[4:] == [(0.02, 0.02), (0.02, 0.08)]
    assert [job.architecture == PROBE for job in pool.jobs] == [False] * 4 + [True] * 2
    assert {job.recipe.head_epochs for job in pool.jobs} == {1}
    limit = learning_rate.MAX_COST_TRIALS + learning_rate.MAX_COST_PROBE_TRIALS
    assert pool.epochs <= limit * recipe.epochs


def test_a_faster_rate_is_tried_where_four_times_is_better_than_once(probed):
    recipe, attempts, _ = probed(lambda factor: 1 / factor)
    assert [rate / lr for lr, rate in attempts[4:]] == pytest.approx([1, 4, 16])
    assert recipe.attention_lr == pytest.approx(16 * recipe.lr)


def test_with_a_requested_rate_only_the_probe_is_trained(probed):
    recipe, attempts, _ = probed(lambda factor: abs(factor - 4), tune_backbone=False)
    assert len(attempts) == 3
    assert (recipe.lr, recipe.attention_lr) == (0.01, 0.04)


def test_a_probe_that_diverges_at_faster_rates_learns_at_the_rate_of_the_backbone(probed):
    recipe, _, _ = probed(lambda factor: None if factor > 1 else 1.0)
    assert recipe.attention_lr == recipe.lr
