"""Trials on two devices (here: two processes on the CPU): results, deaths and failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
import torch
from attentune.runners.events import (
    Decision,
    EpochDone,
    Failed,
    Finished,
    Measured,
    Started,
    Stopped,
    WorkerDied,
)
from attentune.runners.results import PREDICTIONS_FILE, WEIGHTS_FILE
from attentune.runners.training.tensor_file import read_tensors
from attentune.runners.workers.local_pool import LocalPool
from attentune.spaces.architecture import parse

pytestmark = pytest.mark.slow

TWO_DEVICES = ("cpu", "cpu")


@pytest.fixture(scope="module")
def pool(cache):
    del cache
    pool = LocalPool([TWO_DEVICES])
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def pool_of_one_device(cache):
    del cache
    pool = LocalPool(["cpu"])
    yield pool
    pool.close()


def processes_of(pool):
    (worker,) = pool._workers
    return [psutil.Process(process.pid) for process in worker.processes]


def weights_of(job):
    return read_tensors(job.folder / WEIGHTS_FILE)


def pause_after(epoch):
    return lambda event: Decision.PAUSE if event.report.epoch == epoch else Decision.GO_ON


def test_a_trial_on_two_devices_tells_the_same_story_and_states_what_it_took(pool, job, follow):
    pool.start(replace(job, test=True))
    events = follow(pool)
    assert [type(e) for e in events] == [Started, Measured, *[EpochDone] * 3, Finished]
    result = events[-1].result
    assert result.environment["data parallel"] == "2 ranks, gloo"
    assert result.environment["steps"] == "eager: on several devices"
    of_one_device = sum(e.report.seconds for e in events if isinstance(e, EpochDone))
    assert result.device_seconds == pytest.approx(2 * of_one_device)
    assert result.seconds > of_one_device
    assert (job.folder / PREDICTIONS_FILE).is_file()
    assert pool.idle == 1


def test_its_first_epoch_is_that_of_one_device_but_for_rounding(
    pool, pool_of_one_device, job, tmp_path, follow
):
    recipe = job.recipe.model_copy(update={"mixup": 0.2, "cutmix": 1.0, "epochs": 1})
    reports = []
    for number, any_pool in enumerate((pool, pool_of_one_device)):
        any_pool.start(replace(job, recipe=recipe, folder=tmp_path / str(number)))
        reports += [e.report for e in follow(any_pool) if isinstance(e, EpochDone)]
    shared, alone = reports
    assert shared.train_loss == pytest.approx(alone.train_loss, rel=1e-5)
    assert shared.val_loss == pytest.approx(alone.val_loss, rel=1e-4)


def test_six_and_six_epochs_are_twelve_bit_for_bit(pool, job, tmp_path, follow):
    job = replace(job, recipe=job.recipe.model_copy(update={"epochs": 12, "head_epochs": 1}))
    pool.start(job)
    assert isinstance(follow(pool, decide=pause_after(6))[-1], Stopped)
    pool.start(job)
    rest = follow(pool)
    assert rest[0].resumed_from == 6
    whole = replace(job, folder=tmp_path / "whole")
    pool.start(whole)
    assert follow(pool)[-1].result.accuracy == rest[-1].result.accuracy
    weights, expected = weights_of(job), weights_of(whole)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_trial_goes_on_with_another_number_of_devices(pool, pool_of_one_device, job, follow):
    job = replace(job, recipe=job.recipe.model_copy(update={"epochs": 6}))
    pool.start(job)
    follow(pool, decide=pause_after(2))
    pool_of_one_device.start(job)
    second = follow(pool_of_one_device, decide=pause_after(4))
    assert second[0].resumed_from == 2
    pool.start(job)
    third = follow(pool)
    assert third[0].resumed_from == 4
    assert isinstance(third[-1], Finished)
    spent = second[-1].device_seconds
    last = [e.report.seconds for e in third if isinstance(e, EpochDone) and e.report.epoch > 4]
    assert third[-1].result.device_seconds == pytest.approx(spent + 2 * sum(last))


@pytest.mark.parametrize("number", [1, 2])
def test_the_death_of_one_process_ends_the_trial_and_the_other_and_the_trial_goes_on(
    pool, job, follow, number
):
    job = replace(job, recipe=job.recipe.model_copy(update={"epochs": 500}))
    pool.start(job)
    before, events = processes_of(pool), []
    while not any(isinstance(event, EpochDone) for event in events):
        events = pool.events(1.0)
    pool.reply(job.number, Decision.GO_ON)
    before[number - 1].send_signal(signal.SIGKILL)
    died = follow(pool)[-1]
    assert isinstance(died, WorkerDied)
    assert died.reason == (
        f"worker w1 (process {number} of 2) was ended by SIGKILL; out of memory?"
    )
    assert not died.out_of_memory
    assert psutil.wait_procs(before, timeout=5)[1] == []
    assert pool.idle == 1
    pool.start(replace(job, recipe=job.recipe.model_copy(update={"epochs": 1})))
    assert isinstance(follow(pool)[-1], Finished)


def test_a_trial_that_raises_on_all_devices_fails_once(pool, job, tmp_path, follow):
    pool.start(replace(job, recipe=job.recipe.model_copy(update={"lr": 1e30, "epochs": 2})))
    failed = follow(pool)[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "diverged"
    assert pool.events(0.5) == []
    pool.start(replace(job, number=8, folder=tmp_path / "next"))
    assert {event.number for event in follow(pool)} == {8}


ATTENTION = """
import torch
from attentune import register_attention
from torch import nn

@register_attention("even")
class Even(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        if self.training and len(x) % 2:
            raise RuntimeError("an odd number of images")
        return x * (1 + self.scale[:, None, None])
"""


@pytest.fixture
def even_attention(tmp_path, monkeypatch):
    """An attention of the user's, and its registration forgotten afterwards."""
    from attentune.spaces.attentions.plugins import register as registration

    (tmp_path / "even_attention.py").write_text(ATTENTION)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registration, "_registered", {})
    monkeypatch.setenv("ATTENTUNE_PLUGINS", "even_attention")
    registration._resolve.cache_clear()
    yield
    registration._resolve.cache_clear()
    sys.modules.pop("even_attention", None)


def test_what_one_process_raises_is_how_the_trial_failed(even_attention, job, follow):
    """A batch of 41 images is divided into 20 and 21."""
    pool = LocalPool([TWO_DEVICES])
    try:
        recipe = job.recipe.model_copy(update={"batch_size": 51})
        pool.start(replace(job, recipe=recipe, architecture=parse("test_resnet+even@s1.post")))
        failed = follow(pool)[-1]
        assert isinstance(failed, Failed)
        assert failed.failure.kind == "invalid"
        assert "even at s1b1.post raises RuntimeError: an odd number" in failed.failure.message
        assert pool.idle == 1
    finally:
        pool.close()


def test_a_trial_that_runs_out_of_memory_is_to_be_tried_again_with_micro_batches(pool, job, follow):
    pool.start(replace(job, memory_limit_mib=1.0))
    died = follow(pool)[-1]
    assert isinstance(died, WorkerDied)
    assert died.out_of_memory
    pool.start(replace(job, micro_batches=4))
    result = follow(pool)[-1].result
    assert result.environment["micro-batches"] == "4"


def test_a_killed_trial_ends_on_all_devices(pool, job):
    pool.start(job)
    assert isinstance(pool.events(60.0)[0], Started)
    before = processes_of(pool)
    pool.kill(job.number)
    assert psutil.wait_procs(before, timeout=5)[1] == []
    assert pool.idle == 1
    assert pool.events(0.5) == []


COORDINATOR = """
import sys, time, psutil
from pathlib import Path
from attentune.runners.recipe import Recipe
from attentune.runners.results import Job
from attentune.runners.workers.local_pool import LocalPool
from attentune.spaces.architecture import parse
from attentune.spaces.architecture import parse

if __name__ == "__main__":
    pool = LocalPool([("cpu", "cpu", "cpu")])
    recipe = Recipe.of(data="digits", image_size=16, epochs=500, batch_size=64, train_limit=256)
    pool.start(Job(1, parse("test_resnet"), recipe, 0, Path(sys.argv[1])))
    while not any(type(event).__name__ == "EpochDone" for event in pool.events(1.0)):
        pass
    print([c.pid for c in psutil.Process().children(recursive=True)], flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel has to kill the workers")
def test_all_processes_die_with_a_coordinator_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(COORDINATOR)
    command = [sys.executable, script, tmp_path / "trial"]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [psutil.Process(pid) for pid in eval(parent.stdout.readline())]
    assert len(children) == 5  # three ranks, their server, multiprocessing's resource tracker
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert psutil.wait_procs(children, timeout=5)[1] == []
