"""Devices by name, the workers on them, and torch's threads."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import UsageError
from attentune.runners import devices
from attentune.runners.cores import usable_cores
from attentune.runners.devices import (
    device_groups,
    resolve_device,
    torch_threads,
    worker_devices,
)


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many GPUs of each kind, whatever this one has."""

    def pretend(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(2, False, "cuda"), (1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")],
)
def test_auto_prefers_cuda_then_mps(machine, cuda, mps, chosen):
    machine(cuda, mps)
    assert str(resolve_device("auto")) == chosen


def test_a_device_of_this_machine_is_taken_as_it_is(machine):
    machine(cuda=2)
    for name in ("cpu", "cuda", "cuda:1"):
        assert str(resolve_device(name)) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpu", "unknown device 'gpu'; use auto, cpu, cuda"),
        ("meta", "trials cannot train on 'meta'"),
        ("cuda:2", "cuda:2 is not on this machine, which has 2 CUDA devices"),
        ("mps", "mps is not on this machine"),
    ],
)
def test_a_device_that_is_not_here_is_refused(machine, name, words):
    machine(cuda=2)
    with pytest.raises(UsageError, match=words):
        resolve_device(name)


@pytest.mark.parametrize(
    ("device", "workers", "per_gpu", "devices"),
    [
        ("cpu", 3, 1, ["cpu"] * 3),
        ("cuda", None, 1, ["cuda:0", "cuda:1"]),
        ("cuda", None, 2, ["cuda:0", "cuda:1"] * 2),
        ("cuda", 3, 1, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda:1", None, 2, ["cuda:1", "cuda:1"]),
        ("mps", 2, 1, ["mps", "mps"]),
    ],
)
def test_workers_are_spread_over_the_devices(machine, device, workers, per_gpu, devices):
    machine(cuda=2)
    assert worker_devices(torch.device(device), workers, per_gpu) == devices


@pytest.mark.parametrize(
    ("workers", "per_trial", "groups"),
    [
        (None, 2, [("cuda:0", "cuda:1"), ("cuda:2", "cuda:3")]),
        (1, 2, [("cuda:0", "cuda:1")]),
        (8, 2, [("cuda:0", "cuda:1"), ("cuda:2", "cuda:3")]),
        (None, 3, [("cuda:0", "cuda:1", "cuda:2")]),
    ],
)
def test_trials_on_several_gpus_share_none(machine, workers, per_trial, groups):
    machine(cuda=5)
    assert device_groups(torch.device("cuda"), workers, per_trial) == groups


def test_trials_on_several_processes_of_a_cpu_are_as_many_as_cores_allow(monkeypatch):
    monkeypatch.setattr(devices, "usable_cores", lambda: 5)
    cpu = torch.device("cpu")
    assert device_groups(cpu, None, 2) == [("cpu", "cpu")] * 2
    assert device_groups(cpu, 7, 6) == [("cpu",) * 6]


def test_a_cpu_has_a_worker_for_each_core():
    assert worker_devices(torch.device("cpu"), None, 1) == ["cpu"] * usable_cores()


def test_the_number_of_threads_is_restored_even_after_an_error():
    before = torch.get_num_threads()
    inside = []

    def fail() -> None:
        with torch_threads(before + 1):
            inside.append(torch.get_num_threads())
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert inside == [before + 1]
    assert torch.get_num_threads() == before
