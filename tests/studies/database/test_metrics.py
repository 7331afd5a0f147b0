"""Metrics of trials are stored with their result."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attentune.errors import StoreError
from attentune.spaces.architecture import parse
from sqlalchemy import text

METRICS = {"top5": 0.9, "balanced_accuracy": 0.4, "log_loss": 1.25}


@pytest.fixture
def finish(store, study, result):
    def finish(number, **metrics):
        store.trials.start(study, number, parse("resnet18"), seed=number)
        store.trials.finish(study, number, replace(result(0.5), metrics=metrics))

    return finish


def test_metrics_are_read_by_trial_in_the_order_of_tables(store, study, finish):
    finish(0, **dict(reversed(METRICS.items())))
    finish(1)
    store.trials.start(study, 2, parse("resnet18"), seed=2)
    assert store.metrics.read(study) == {0: METRICS}
    assert list(store.metrics.read(study)[0]) == list(METRICS)


def test_metrics_go_with_their_study(store, study, finish):
    finish(0, **METRICS)
    store.delete_study(study.name)
    with store.begin("read") as connection:
        assert connection.execute(text("select count(*) from attentune_metrics")).scalar() == 0


def test_a_value_that_does_not_belong_there_is_a_sentence(store, study, finish):
    finish(0, **METRICS)
    with store.begin("write") as connection:
        if connection.dialect.name != "sqlite":
            pytest.skip("only SQLite stores a text in a column of numbers")
        connection.execute(text("update attentune_metrics set value = 'high'"))
    with pytest.raises(StoreError, match="stored where"):
        store.metrics.read(study)


def test_metrics_of_a_users_own_follow_those_that_are_known(store, study, finish):
    finish(0, **{"psnr": -1.5, **METRICS})
    assert store.metrics.read(study) == {0: {**METRICS, "psnr": -1.5}}
    assert list(store.metrics.read(study)[0]) == [*METRICS, "psnr"]
