"""What tests of workers share: a short trial, and a way to follow it to its end."""

from __future__ import annotations

import time

import pytest
from attentune.runners.events import END_OF_TRIAL, Decision, EpochDone
from attentune.runners.results import Job
from attentune.spaces.architecture import parse


@pytest.fixture
def job(tmp_path, tiny_recipe):
    return Job(7, parse("test_resnet+eca@all.residual"), tiny_recipe, 0, tmp_path / "trial")


@pytest.fixture(scope="session")
def follow():
    def follow(pool, *, decide=lambda _: Decision.GO_ON):
        """All events of the one running trial; `decide` gives the decision after each epoch."""
        events = []
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for event in pool.events(1.0):
                events.append(event)
                if isinstance(event, EpochDone):
                    pool.reply(event.number, decide(event))
                if isinstance(event, END_OF_TRIAL):
                    return events
        raise AssertionError(f"the trial has not ended: {events}")

    return follow
