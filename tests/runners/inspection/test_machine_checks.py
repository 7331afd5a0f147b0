"""What is said of a machine, and what can be done about it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from attentune.runners.inspection import machine_checks as module
from attentune.runners.inspection.machine_checks import (
    advise_on_driver,
    check_folder,
    check_load,
    check_memory,
    check_processor,
    check_shared_memory,
    file_system_of,
    write_speed,
)

GIB = 2**30


@pytest.mark.parametrize(
    ("finding", "detail", "advice"),
    [
        (check_processor(16, 16, "avx2 avx512_bf16"), "16 cores", None),
        (check_processor(16, 16, None), "16 cores", None),
        (check_processor(2, 16, "avx512_bf16"), "2 of 16 cores", "more cores"),
        (check_processor(1, 1, "avx512_bf16"), "1 core", "one trial at a time"),
        (
            check_processor(8, 8, "avx2"),
            "8 cores, without bf16 instructions",
            "--precision at auto",
        ),
        (check_memory(64 * GIB, 16), "64.0 GiB available", None),
        (check_memory(6 * GIB, 16), "6.0 GiB available", "use --workers 4"),
        (check_memory(GIB, 2), "1.0 GiB available", "close other programs"),
        (check_load(1.0, 2), "1.0 processes on 2 cores in the last minute", None),
        (check_load(3.0, 2), "3.0 processes on 2 cores in the last minute", "latencies"),
        (check_shared_memory(8 * GIB), "8.0 GiB", None),
        (check_shared_memory(None), "not limited by this system", None),
        (check_shared_memory(64 * 2**20), "64 MiB", "--shm-size=2g"),
    ],
)
def test_each_finding_has_advice_if_there_is_something_to_do(finding, detail, advice):
    assert finding[0] == detail
    assert (advice is None) == (finding[1] is None)
    assert advice is None or advice in finding[1]


@pytest.mark.parametrize(
    ("facts", "advice"),
    [
        ((None, False, False, False), None),
        (("13.0", True, True, False), None),
        ((None, True, False, False), "torch is a build for CPUs"),
        (("13.0", True, False, True), "the driver is too old for CUDA 13.0"),
        (("13.0", True, False, False), "--gpus all"),
    ],
)
def test_a_gpu_that_torch_does_not_see_has_a_reason(facts, advice):
    reason = advise_on_driver(*facts)
    assert (reason is None) if advice is None else (advice in reason)


def disk(monkeypatch, kind="ext4", free=100 * GIB, speed=500e6):
    monkeypatch.setattr(module, "file_system_of", lambda _: kind)
    monkeypatch.setattr(module, "write_speed", lambda _: speed)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


@pytest.mark.parametrize(
    ("facts", "advice"),
    [
        ({}, None),
        ({"speed": None}, None),
        ({"kind": "nfs4"}, "set ATTENTUNE_CACHE to a folder on a disk of this machine"),
        ({"free": GIB}, "free some space, or set ATTENTUNE_CACHE"),
        ({"speed": 5e6}, "set ATTENTUNE_CACHE to a folder on a faster disk"),
    ],
)
def test_a_folder_is_on_a_fast_disk_with_space(monkeypatch, tmp_path, facts, advice):
    disk(monkeypatch, **facts)
    detail, shown = check_folder(tmp_path / "new" / "cache", "ATTENTUNE_CACHE")
    assert detail.startswith(str(tmp_path / "new" / "cache"))
    assert (shown is None) if advice is None else shown.startswith(advice)


def test_a_disk_is_measured_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SPEED_TEST_BYTES", 1000)
    assert write_speed(tmp_path) > 0
    assert write_speed(tmp_path / "missing") is None
    assert not list(tmp_path.iterdir())
    assert isinstance(file_system_of(tmp_path), str)
