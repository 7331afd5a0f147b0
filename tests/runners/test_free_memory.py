"""Free memory is that of the machine, or what the limits of a container leave."""

from __future__ import annotations

import threading

import psutil
import pytest
from attentune.runners import free_memory
from attentune.runners.free_memory import MIN_BYTES_TURN, available_bytes, memory_turn

GIB = 2**30


@pytest.fixture
def cgroups(tmp_path, monkeypatch):
    """A folder of cgroups, in which this process has the group `box/job` of both versions."""
    own = tmp_path / "own"
    own.write_text("12:cpu,cpuacct:/box\n4:memory:/box/job\n0::/box/job\n", "utf-8")
    monkeypatch.setattr(free_memory, "PROCESS_CGROUPS", own)
    monkeypatch.setattr(free_memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 64 * GIB}))
    return tmp_path / "cgroup"


def write_group(folder, **files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(str(text), "ascii")


def test_without_limits_it_is_that_of_the_machine(cgroups):
    assert available_bytes() == 64 * GIB
    write_group(cgroups / "box", memory__max="max", memory__current=GIB, memory__stat="")
    assert available_bytes() == 64 * GIB


def test_the_tightest_limit_counts_and_cached_files_are_free(cgroups):
    stat = f"anon 5\ninactive_file {GIB}\n"
    inner = cgroups / "box" / "job"
    write_group(inner, memory__max=9 * GIB, memory__current=2 * GIB, memory__stat=stat)
    assert available_bytes() == 8 * GIB
    write_group(cgroups / "box", memory__max=4 * GIB, memory__current=3 * GIB, memory__stat=stat)
    assert available_bytes() == 2 * GIB
    write_group(cgroups, memory__max=GIB, memory__current=3 * GIB, memory__stat="")
    assert available_bytes() == 0


def test_limits_of_the_first_version_count_too(cgroups):
    files = {"memory__limit_in_bytes": 6 * GIB, "memory__usage_in_bytes": GIB}
    group = cgroups / "memory" / "box" / "job"
    write_group(group, **files, memory__stat=f"total_inactive_file {GIB // 2}\n")
    assert available_bytes() == 5.5 * GIB


def test_processes_with_large_data_take_turns_for_each_device(cache):
    del cache
    order = []

    def load(number_of_bytes: int, device: str) -> None:
        with memory_turn(number_of_bytes, device):
            order.append((number_of_bytes, device))

    large, small, elsewhere = (MIN_BYTES_TURN, "cpu"), (1, "cpu"), (MIN_BYTES_TURN, "cuda:0")
    with memory_turn(*large):
        waiting = threading.Thread(target=load, args=large)
        waiting.start()
        for arguments in (small, elsewhere):
            thread = threading.Thread(target=load, args=arguments)
            thread.start()
            thread.join()
        assert order == [small, elsewhere]
    waiting.join()
    assert order == [small, elsewhere, large]
