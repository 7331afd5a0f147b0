"""Trials on several GPUs: which studies and machines can have them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from attentune.errors import UsageError
from attentune.runners.recipe import Recipe
from attentune.search.run.confirm import ConfirmRequest
from attentune.search.run.study_workers import check_shared_batches, gpus_of_a_trial
from attentune.studies.config import RunPlan


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


def run_of(evaluation=None, **plan):
    """What is asked of a study."""
    return SimpleNamespace(
        record=SimpleNamespace(name="mine"),
        config=SimpleNamespace(evaluation=evaluation),
        plan=RunPlan(**plan),
    )


@pytest.mark.parametrize(
    ("run", "device", "request_", "reason"),
    [
        (run_of(evaluation=object()), "cuda", {}, "'mine' is trained by your own code"),
        (run_of(pool="ray"), "cuda", {}, "needs --pool local: with --pool ray"),
        (run_of(), "mps", {}, "on 2 devices with --device mps; use --device cuda"),
        (run_of(), "cuda:1", {}, "on 2 devices with --device cuda:1; use --device cuda"),
        (run_of(), "cuda", {"gpus_per_trial": 5}, "needs 5 GPUs, and this machine has 4"),
        (run_of(), "cuda", {"workers": 3}, "room for 2 trials at a time; use --workers 2"),
    ],
)
def test_trials_that_cannot_be_trained_on_several_gpus_are_refused_in_one_sentence(
    four_gpus, run, device, request_, reason
):
    request = ConfirmRequest(**{"gpus_per_trial": 2, **request_})
    with pytest.raises(UsageError) as refused:
        gpus_of_a_trial(run, device, request)
    assert reason in str(refused.value)


def test_a_trial_has_one_gpu_unless_more_are_asked_for(four_gpus):
    own = run_of(evaluation=object(), pool="ray")
    assert gpus_of_a_trial(own, "mps", ConfirmRequest()) == 1
    assert gpus_of_a_trial(own, "mps", ConfirmRequest(gpus_per_trial=1)) == 1


def test_workers_that_shared_a_gpu_in_the_search_do_not_in_the_confirmation(four_gpus, caplog):
    caplog.set_level("INFO")
    request = ConfirmRequest(gpus_per_trial=2, workers=2)
    assert gpus_of_a_trial(run_of(workers_per_gpu=3), "cuda", request) == 2
    assert "A GPU has one trial at a time" in caplog.text
    assert "--workers-per-gpu 3" in caplog.text


def test_batches_that_are_too_small_to_be_divided_are_refused_before_the_first_trial():
    recipe = Recipe.of(data="digits", image_size=16, epochs=1, batch_size=10, drop_last=True)
    data = [SimpleNamespace(counts={"train": 100})]
    check_shared_batches(recipe, 5, data)
    with pytest.raises(UsageError, match="a batch of 10 images is too small for 6 devices"):
        check_shared_batches(recipe, 6, data)
