"""The functions that a script calls: create, run, resume, confirm and delete, without a console."""

from __future__ import annotations

import logging
import threading

import pytest
from attentune.errors import StudyError, UsageError
from attentune.search.run import session
from attentune.search.run.callback import Callback
from attentune.search.run.confirm import ConfirmRequest, read_confirmation
from attentune.search.run.session import (
    confirm_study,
    create_study,
    delete_study,
    run_study,
    update_plan,
)
from attentune.search.setup.request import read_request

REQUEST = {
    "backbone": "test_resnet",
    "data": "digits",
    "image_size": 16,
    "train_limit": 256,
    "epochs": 2,
    "trials": 6,
    "workers": 1,
    "device": "cpu",
    "lr": 0.004,
    "precision": "float32",
    "memory_format": "channels_last",
}


@pytest.fixture
def pools(bench, monkeypatch):
    """The pools that the session has made, by their names; their workers need no time."""
    names: list[tuple[str, list[str]]] = []

    def make_pool(name, devices):
        names.append((name, list(devices)))
        return bench.new_pool()

    monkeypatch.setattr(session, "make_pool", make_pool)
    monkeypatch.setattr(session, "warm_up", lambda: None)
    return names


class EndedTrials(Callback):
    def __init__(self):
        self.numbers = []

    def on_trial_end(self, _trial, record):
        self.numbers.append(record.number)


def test_a_script_creates_runs_resumes_confirms_and_deletes_a_study(bench, pools, capsys, caplog):
    caplog.set_level(logging.INFO, logger="attentune")
    store, ended = bench.store, EndedTrials()
    record = create_study(store, "s", read_request(REQUEST, None), command="a command")
    assert "test_resnet: 373.7 k parameters" in caplog.text
    assert (record.config.json["command"], record.config.json["plugins"]) == ("a command", {})
    outcome = run_study(store, record, [ended])
    assert (outcome.finished, outcome.trials) == (True, 6)
    record = update_plan(store, record, trials=8, workers=None)
    assert run_study(store, record, [ended]).trials == 8
    assert ended.numbers == list(range(8))

    caplog.clear()
    request = ConfirmRequest(top=1, seeds=2, epochs=3)
    confirmed = EndedTrials()
    outcome = confirm_study(store, store.studies.get("s"), request, [confirmed])
    assert outcome.finished
    assert len(confirmed.numbers) == outcome.trials >= 12
    assert "2 fresh seeds × 3 epochs, judged on the test split" in caplog.text
    confirmation = read_confirmation(store, "s")
    assert confirmation is not None
    assert len(confirmation.contenders) * 2 == outcome.trials
    assert confirm_study(store, store.studies.get("s")).trials == outcome.trials
    assert pools == [("local", ["cpu"])] * 3  # the last one had nothing left to run

    delete_study(store, "s")
    with pytest.raises(StudyError, match="s"):
        store.studies.get("s")
    assert capsys.readouterr() == ("", "")


def test_a_study_runs_in_a_thread_too(bench, pools):
    record = create_study(bench.store, "s", read_request(REQUEST, None))
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(run_study(bench.store, record)))
    thread.start()
    thread.join()
    assert [outcome.trials for outcome in outcomes] == [6]


def test_what_cannot_be_run_here_is_refused(bench, pools):
    record = create_study(bench.store, "s", read_request(REQUEST, None))
    with pytest.raises(UsageError, match="trials"):
        update_plan(bench.store, record, trials=0)
    stored = record.config.json
    on_cuda = {**stored, "study": {**stored["study"], "device": "cuda"}}
    other_device = bench.store.studies.update_config(record, on_cuda)
    message = "has trained on cuda; results on cpu would not be comparable"
    with pytest.raises(StudyError, match=message):
        run_study(bench.store, other_device)
    unreadable = bench.store.studies.update_config(record, {**stored, "plan": None})
    with pytest.raises(StudyError, match="cannot be read; it was written by attentune"):
        run_study(bench.store, unreadable)
    assert pools == []
