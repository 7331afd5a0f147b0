"""What a user's attention changes in a worker is found and undone."""

from __future__ import annotations

import os
import threading
import time

import pytest
import torch
from attentune.errors import AttentionError
from attentune.runners.workers.process_state import ProcessState, refuse_changes
from attentune.spaces.architecture import Architecture, Insertion, Place, parse
from torch import nn
from torch.nn import functional as F

WITH_PLUGIN = Architecture("test_resnet", (Insertion("wave", (), (Place(1, 1),), "residual"),))

CHANGES = {
    "default type": lambda: torch.set_default_dtype(torch.float64),
    "gradients": lambda: torch.set_grad_enabled(False),
    "number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "torch.backends.cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch.nn.functional.relu": lambda: setattr(F, "relu", F.leaky_relu),
    "torch.Tensor.mul": lambda: setattr(torch.Tensor, "mul", torch.Tensor.add),
    "torch.nn.Conv2d.forward": lambda: setattr(nn.Conv2d, "forward", nn.Identity.forward),
    "torch.mean": lambda: setattr(torch, "mean", torch.sum),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_named_and_undone(name):
    before = ProcessState.capture()
    CHANGES[name]()
    assert [name in change for change in before.restore()] == [True]
    assert before.restore() == []
    assert F.relu(torch.tensor(-1.0)) == 0


def test_what_decides_nothing_is_undone_without_words(tmp_path, monkeypatch):
    monkeypatch.setenv("WAVES", "2")
    before, folder = ProcessState.capture(), os.getcwd()  # noqa: PTH109
    os.environ["WAVES"] = "3"
    os.chdir(tmp_path)
    assert before.restore() == []
    assert (os.environ["WAVES"], os.getcwd()) == ("2", folder)  # noqa: PTH109


def test_a_thread_that_goes_on_is_named():
    before, ended = ProcessState.capture(), threading.Event()
    thread = threading.Thread(target=ended.wait, name="waves")
    thread.start()
    assert before.restore() == ["the running threads (it leaves 'waves' behind)"]
    ended.set()
    thread.join()
    assert before.restore() == []


def test_a_trial_whose_attention_changes_torch_fails_and_the_next_one_is_as_before():
    with (
        pytest.raises(AttentionError, match=r"the attention wave changes torch's default type"),
        refuse_changes(WITH_PLUGIN),
    ):
        torch.set_default_dtype(torch.float64)
    assert torch.get_default_dtype() == torch.float32


def test_an_exception_is_not_replaced_and_changes_are_undone():
    with pytest.raises(KeyError), refuse_changes(WITH_PLUGIN):
        raise_after_change()
    assert torch.is_grad_enabled()


def raise_after_change():
    torch.set_grad_enabled(False)
    raise KeyError("waves")


def test_trials_without_attentions_of_users_cost_nothing(monkeypatch):
    monkeypatch.setattr(ProcessState, "capture", lambda: pytest.fail("captured"))
    with refuse_changes(parse("test_resnet+se@all.residual")):
        time.sleep(0)
