"""A reader of the database of the study that tests write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attentune.studies.dashboard import live_trials
from attentune.studies.database.store import Store


@pytest.fixture
def reader(store: Store, target: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Another connection, whose states read the database whenever they are asked to."""
    monkeypatch.setattr(live_trials, "REFRESH_SECONDS", 0.0)
    with Store.open(target, read_only=True) as opened:
        yield opened
