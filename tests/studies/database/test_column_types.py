"""What columns make of text from outside."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attentune.errors import StudyError
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.database.store import Store
from attentune.studies.records import StudyRecord
from chaos.hostile_texts import TEXTS, forbidden_in

SE = parse("resnet18+se(r=16)@all.residual")
STORED = 20_100


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_hostile_text_does_not_stop_a_study(store: Store, study: StudyRecord, text: str, result):
    trials = store.trials
    for number in range(4):
        trials.start(study, number, SE, seed=number, worker=text)
    trials.fail(study, 0, Failure("error", text, text), environment={text: text})
    trials.prune(study, 1, text, environment={"gpu": text})
    trials.reject(study, SE, text, number=2)
    trials.finish(study, 3, replace(result(0.5), environment={text: text}))
    failed, pruned, finished = trials.read(study)
    assert failed.failure is not None
    assert failed.worker is not None
    assert pruned.note is not None
    environments = trials.read_environments(study)
    stored = [failed.failure.message, failed.failure.traceback, failed.worker, pruned.note]
    stored += [rejection.reason for rejection in trials.read_rejections(study)]
    stored += [name + fact for facts in environments.values() for name, fact in facts.items()]
    for value in stored:
        assert not forbidden_in(value)
        assert len(value) < STORED
    assert "\n" not in failed.worker
    assert len(environments) == 2
    assert finished.environment in environments


def test_the_end_of_a_traceback_is_kept(store: Store, study: StudyRecord) -> None:
    store.trials.start(study, 0, SE, seed=0)
    failure = Failure("error", "m" * 10**7, "t" * 10**7 + "\nValueError: here")
    store.trials.fail(study, 0, failure)
    recorded = store.trials.get(study, 0).failure
    assert recorded == failure
    assert recorded.message.startswith("mmm")
    assert recorded.message.endswith("[… of 10000000 characters]")
    assert recorded.traceback.endswith("t\nValueError: here")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_hostile_name_is_an_unknown_study(store: Store, study: StudyRecord, text: str) -> None:
    with pytest.raises(StudyError, match="there is no study"):
        store.studies.get(text)
