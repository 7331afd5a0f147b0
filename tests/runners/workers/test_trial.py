"""Every failure of a trial has a kind."""

from __future__ import annotations

import errno
import os
import threading

import pytest
import torch
from attentune.errors import ArchitectureError, TrialError
from attentune.runners.data import prepare_data
from attentune.runners.events import Aborted, Decision, EpochDone, Failed
from attentune.runners.results import Job
from attentune.runners.training import device_data
from attentune.runners.workers import recipe_evaluator
from attentune.runners.workers.trial import classify_failure, run_trial
from attentune.spaces.architecture import parse
from attentune.spaces.attentions.plugins import register as registration


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (TrialError("diverged", "the loss was nan"), "diverged", "the loss was nan"),
        (torch.OutOfMemoryError("no room\ndetails"), "out_of_memory", "no room"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (RuntimeError("[enforce] can't allocate memory: 9"), "out_of_memory", None),
        (ArchitectureError("no such stage"), "invalid", "no such stage"),
        (ValueError("wrong shape"), "error", "ValueError: wrong shape"),
    ],
)
def test_an_exception_is_recorded_with_a_kind_and_a_message(error, kind, message):
    assert classify_failure(error) == (kind, message or str(error))


def test_an_exception_with_a_hostile_message_is_recorded():
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert classify_failure(SilentError()) == ("error", "SilentError: SilentError")
    assert classify_failure(OSError("caf\udce9\x1b[2J")) == ("error", r"OSError: caf\xe9\x1b[2J")
    kind, message = classify_failure(ValueError("x" * 10**7))
    assert kind == "error"
    assert len(message) < 5_000


class Wave(torch.nn.Module):
    """Does `act` in training."""

    act = staticmethod(lambda x: x)

    def __init__(self, channels):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x):
        y = x * self.scale
        return Wave.act(y) if self.training else y


def leave(_):
    raise SystemExit(3)


def fill_the_disk(_):
    raise OSError(errno.ENOSPC, "No space left on device")


def patch_relu(x):
    torch.nn.functional.relu = torch.nn.functional.leaky_relu
    return x


LABEL = "wave at s2b1.identity"


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda x: x[5:9, 99], f"{LABEL} raises IndexError: index 99 is out of bounds"),
        (leave, f"{LABEL} raises SystemExit: 3"),
        (fill_the_disk, f"{LABEL} raises OSError: [Errno 28] No space left on device"),
        (lambda x: x.mean(0, keepdim=True), f"{LABEL} changes the shape: (64, 48"),
        (patch_relu, "the attention wave changes torch.nn.functional.relu"),
    ],
    ids=["raises", "exits", "full disk", "shrinks", "patches"],
)
def test_what_an_attention_does_in_a_later_epoch_is_its_fault(
    tiny_recipe, tmp_path, monkeypatch, act, message
):
    monkeypatch.setattr(registration, "_registered", {})
    registration._resolve.cache_clear()
    registration.register_attention("wave")(Wave)
    monkeypatch.setattr(Wave, "act", staticmethod(lambda x: x))
    events = []

    def send(event):
        events.append(event)
        if isinstance(event, EpochDone):
            monkeypatch.setattr(Wave, "act", staticmethod(act))
        return Decision.GO_ON

    architecture = parse("test_resnet+wave@s2.identity")
    relu = torch.nn.functional.relu
    run_trial(Job(0, architecture, tiny_recipe, 0, tmp_path), send, device=torch.device("cpu"))
    registration._resolve.cache_clear()
    assert isinstance(events[-1], Failed)
    assert events[-1].failure.kind == "invalid"
    assert events[-1].failure.message.startswith(message)
    assert torch.nn.functional.relu is relu


def test_images_that_are_cut_off_while_they_are_read_end_a_trial_with_one_sentence(
    tiny_recipe, tmp_path, monkeypatch
):
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(device_data, "spare_bytes", lambda _: 0.0)
    fresh = recipe_evaluator._DeviceDataCache()
    monkeypatch.setattr(recipe_evaluator, "_device_data_cache", fresh)
    recipe = tiny_recipe.model_copy(update={"train_limit": 150, "batch_size": 16})
    file = prepare_data(recipe).folder / "train.images.npy"
    events = []

    def send(event):
        events.append(event)
        if isinstance(event, EpochDone):
            os.truncate(file, 1000)
        return Decision.GO_ON

    job = Job(0, parse("test_resnet"), recipe, 0, tmp_path / "trial")
    run_trial(job, send, device=torch.device("cpu"))
    assert isinstance(events[-1], Aborted)
    assert "train.images.npy cannot be read (the file has been cut off)" in events[-1].reason
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}
