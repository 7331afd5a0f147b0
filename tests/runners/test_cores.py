"""The cores of this process, on systems that know an affinity and on others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from attentune.runners.cores import usable_cores


@pytest.fixture(autouse=True)
def fresh():
    usable_cores.cache_clear()
    yield
    usable_cores.cache_clear()


def test_only_the_cores_that_the_process_may_use_are_counted(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert usable_cores() == 3


def test_all_cores_are_counted_where_there_is_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6


def test_data_is_read_without_torch():
    code = "import attentune.runners.data, sys; assert not {'torch', 'timm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
