"""The right to run a study, and the time that is spent on it."""

from __future__ import annotations

import pytest
from attentune.errors import StudyError
from attentune.search.run.study_lease import hold_lease


@pytest.fixture
def record(bench):
    bench.create("s", bench.config())
    return bench.store.studies.get("s")


def test_one_process_at_a_time_runs_a_study(bench, record):
    with (
        hold_lease(bench.store, record),
        pytest.raises(StudyError),
        hold_lease(bench.store, record),
    ):
        pass
    with hold_lease(bench.store, record) as lease:
        lease.renew()


def test_wall_time_adds_up_over_runs_unless_it_is_not_counted(bench, record):
    bench.store.studies.set_spent_seconds(record, 100.0)
    with hold_lease(bench.store, record) as lease:
        assert 100.0 <= lease.wall_seconds < 130.0
        lease.renew()
    spent = bench.store.studies.spent_seconds(record)
    assert spent > 100.0
    with hold_lease(bench.store, record, counts_time=False) as lease:
        assert lease.wall_seconds < 30.0
        lease.renew()
    assert bench.store.studies.spent_seconds(record) == spent
