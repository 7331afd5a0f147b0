"""What is not proposed again after trials have failed."""

from __future__ import annotations

import dataclasses
from itertools import count

import example_records
import pytest
from attentune.runners.results import Failure
from attentune.search.run.failure_history import FailureHistory
from attentune.spaces.architecture import parse
from attentune.spaces.attentions.plugins import register as registration
from attentune.spaces.backbones.discover import find_sites
from torch import nn

WAVE = "test_resnet+wave@s1.residual"


@pytest.fixture
def history(monkeypatch):
    """Of a study with the attentions `wave` and `ripple` of a user."""
    monkeypatch.setattr(registration, "_registered", {})
    registration._resolve.cache_clear()
    for name in ("wave", "ripple"):
        registration.register_attention(name)(type("Wave", (nn.Module,), {"__init__": _init}))
    yield FailureHistory(find_sites("test_resnet", image_size=64))
    registration._resolve.cache_clear()


def _init(self, channels):
    nn.Module.__init__(self)


numbers = count()


def record(history, text, failure=None, state="complete"):
    trial = example_records.trial(next(numbers), text, state="failed" if failure else state)
    history.record_state(dataclasses.replace(trial, failure=failure))


def test_nothing_speaks_against_what_has_not_failed(history):
    record(history, WAVE)
    assert history.count == 0
    assert history.reason_against(parse(WAVE)) is None


@pytest.mark.parametrize("kind", ["error", "worker_died", "timeout", "out_of_memory", "diverged"])
def test_an_architecture_that_has_failed_twice_is_not_proposed_again(history, kind):
    text = "test_resnet+se(r=4)@s1.residual"
    record(history, text, Failure(kind, "no memory"))
    assert history.reason_against(parse(text)) is None
    record(history, text, Failure(kind, "no memory"))
    assert history.reason_against(parse(text)) == (
        f"it has failed 2 times, the last with {kind}: no memory"
    )
    assert history.reason_against(parse("test_resnet+se(r=8)@s1.residual")) is None


def test_an_architecture_that_was_complete_once_may_fail_with_other_seeds(history):
    record(history, WAVE)
    for _ in range(5):
        record(history, WAVE, Failure("worker_died", "gone"))
    assert history.reason_against(parse(WAVE)) is None


def test_the_bare_backbone_is_never_excluded(history):
    for _ in range(5):
        record(history, "test_resnet", Failure("error", "gone"))
    assert history.reason_against(parse("test_resnet")) is None


def test_an_attention_that_failed_by_name_is_not_proposed_at_that_site(history):
    message = "wave at s1b1.residual raises ValueError: no"
    record(history, f"{WAVE}+se@s2.residual", Failure("invalid", message))
    reason = f"an earlier trial has failed: {message}"
    assert history.reason_against(parse(WAVE)) == reason
    assert history.reason_against(parse(f"{WAVE}+eca@s3.residual")) == reason
    assert history.reason_against(parse("test_resnet+wave@s2.residual")) is None
    assert history.reason_against(parse("test_resnet+se@s2.residual")) is None


def test_an_attention_with_which_only_trials_failed_is_not_proposed_anywhere(history):
    for stage in (1, 2, 3):
        assert history.reason_against(parse("test_resnet+wave@s4.residual")) is None
        text = f"test_resnet+wave@s{stage}.residual+se@s4.residual"
        record(history, text, Failure("worker_died", "gone"))
    assert history.reason_against(parse("test_resnet+wave@s4.residual")) == (
        "3 trials with the attention 'wave' have failed and none is complete, the last with "
        "worker_died: gone"
    )
    assert history.reason_against(parse("test_resnet+se@s4.residual")) is None


def test_an_attention_is_not_blamed_for_another_one(history):
    """Until one of the two has been in a complete trial, nobody knows which it was."""
    both = "test_resnet+wave@s1.residual+ripple@s{}.residual"
    for stage in (2, 3, 4):
        record(history, both.format(stage), Failure("worker_died", "gone"))
    for name in ("wave", "ripple"):
        assert history.reason_against(parse(f"test_resnet+{name}@all.residual")) is None
    record(history, "test_resnet+wave@s4.residual")
    assert history.reason_against(parse("test_resnet+wave@all.residual")) is None
    assert history.reason_against(parse("test_resnet+ripple@all.residual")) is not None
