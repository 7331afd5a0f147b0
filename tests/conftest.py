"""What all tests share: a cache of their own, and images small enough to train on in seconds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

SLOW_CASES = frozenset(Path(__file__).with_name("slow_cases.txt").read_text("utf-8").splitlines())
"""Cases that take seconds, and whose siblings in the quick suite check the same of something else.
Each stands as pytest names it."""

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; tests run side by side
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # No test waits for the network.

MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2**31:
    # Hundreds of studies commit thousands of times, and a disk needs milliseconds for each.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases of `slow_cases.txt` as slow."""
    for item in items:
        if item.nodeid in SLOW_CASES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caches of data and sites go to a folder of this run, for this process and its children."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["ATTENTUNE_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def ray_cluster(cache: Path):
    """A Ray cluster on this machine; without Ray, the tests that need one are skipped.

    Its one node stays; a test that adds nodes removes them.
    """
    pytest.importorskip("ray", reason="needs Ray: pip install 'attentune[ray]'")
    from ray_clusters import nodes_here

    with nodes_here() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _no_database_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTENTUNE_DB", raising=False)


@pytest.fixture
def tiny_recipe():
    """Three short epochs on a few hundred clean digits."""
    from attentune.runners.recipe import Recipe

    return Recipe.of(
        data="digits", image_size=16, epochs=3, batch_size=64, train_limit=256, ema=0.9, lr=2e-3
    )
