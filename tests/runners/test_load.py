"""The load of CPU and GPU while something runs."""

from __future__ import annotations

from collections import namedtuple

import psutil
import pytest
import torch
from attentune.runners.load import Load, LoadMeter

Times = namedtuple("Times", "user system idle iowait guest")


@pytest.fixture
def times(monkeypatch):
    """What the machine's clocks say, one reading after the other."""
    readings = []
    monkeypatch.setattr(psutil, "cpu_times", lambda: readings.pop(0))
    return readings


def test_the_cpu_is_busy_for_the_time_that_it_is_not_idle(times):
    # A guest's time is in that of its user, too.
    times += [Times(10.0, 5.0, 100.0, 1.0, 3.0), Times(16.0, 6.0, 102.0, 2.0, 9.0)]
    assert LoadMeter(torch.device("cpu")).read() == Load(cpu=0.7, gpu=None)


def test_a_machine_whose_clocks_stand_still_has_no_load(times):
    times += [Times(1.0, 0.0, 1.0, 0.0, 0.0)] * 2
    assert LoadMeter(torch.device("cpu")).read() == Load()


def test_the_load_of_a_gpu_is_the_mean_of_its_samples(monkeypatch):
    samples = [100, 40]
    monkeypatch.setattr(torch.cuda, "utilization", lambda _: samples.pop(0))
    meter = LoadMeter(torch.device("cuda:1"))
    assert meter.read().gpu is None
    meter.sample()
    meter.sample()
    assert meter.read().gpu == pytest.approx(0.7)


def test_a_gpu_whose_load_cannot_be_read_is_not_asked_again(monkeypatch):
    asked = []

    def refuse(device):
        asked.append(device)
        raise ModuleNotFoundError("pynvml")

    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    meter = LoadMeter(torch.device("cuda"))
    meter.sample()
    meter.sample()
    assert meter.read().gpu is None
    assert len(asked) == 1
