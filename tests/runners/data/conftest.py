"""Every test of data has a cache of its own, and can replace the data sets that timm opens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Every test has a cache of its own."""
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def timm_sets(monkeypatch):
    """Replace `create_dataset` by a function, and record its calls."""
    calls = []

    def install(create):
        def recorded(name, **arguments):
            calls.append((name, arguments))
            return create(name, arguments["split"])

        module = SimpleNamespace(data=SimpleNamespace(create_dataset=recorded))
        monkeypatch.setattr(
            "attentune.runners.data.sources.timm_source.import_timm", lambda: module
        )
        return calls

    return install
