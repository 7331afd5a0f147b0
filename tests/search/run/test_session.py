"""The functions that a script calls: create, run, resume, confirm and delete, without a console."""

from __future__ import annotations

import logging
import re
import threading

import pytest
from attentune.errors import AttentuneError, DataError, StudyError
from attentune.search.run import session
from attentune.search.run.callback import Callback
from attentune.search.run.confirm import ConfirmRequest, read_confirmation
from attentune.search.run.session import (
    confirm_study,
    create_study,
    delete_study,
    run_study,
)
from attentune.search.run.study_lease import hold_lease
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
    """The pools that the session has made: name, device, and number of workers that was asked for.

    Their workers need no time.
    """
    pools: list[tuple[str, str, int | None]] = []

    def make_pool(name, settings):
        assert settings.data_keys
        pools.append((name, settings.device, settings.workers))
        return bench.new_pool()

    monkeypatch.setattr(session, "make_pool", make_pool)
    monkeypatch.setattr(session, "warm_up", lambda: None)
    return pools


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
    changes = {"trials": 8, "workers": None}
    assert run_study(store, record, [ended], changes).trials == 8
    assert store.studies.get("s").config.plan.trials == 8
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
    assert pools == [("local", "cpu", 1)] * 3  # the last one had nothing left to run

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
    stored = record.config.json
    on_cuda = {**stored, "study": {**stored["study"], "device": "cuda"}}
    other_device = bench.store.studies.change_config(record, lambda _: on_cuda)
    message = "has trained on cuda; results on cpu would not be comparable"
    with pytest.raises(StudyError, match=message):
        run_study(bench.store, other_device)
    unreadable = bench.store.studies.change_config(record, lambda _: {**stored, "plan": None})
    with pytest.raises(StudyError, match="cannot be read; it was written by attentune"):
        run_study(bench.store, unreadable)
    assert pools == []


@pytest.fixture
def stored(bench, pools):
    """A study that has run three of its six trials; the function reads its stored bytes."""
    create_study(bench.store, "s", read_request(REQUEST, None))
    run_study(bench.store, bench.store.studies.get("s"), [], {"trials": 3})

    def read():
        with bench.store._database.begin("read") as connection:
            query = "select cast(config as text) from attentune_studies"
            return connection.exec_driver_sql(query).scalar_one()

    return read


REFUSED = [
    ({"trials": 0}, "trials"),
    ({"budget": -1.0}, "budget"),
    ({"trials": 9, "device": "cuda:7"}, "cuda"),
    ({"trials": 9, "device": "abacus"}, "abacus"),
    ({"trials": 9, "pool": "no such pool"}, "unknown pool"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_a_refused_resume_leaves_the_stored_plan_as_it_is(bench, stored, changes, message):
    before = stored()
    with pytest.raises(AttentuneError, match=message):
        run_study(bench.store, bench.store.studies.get("s"), [], changes)
    assert stored() == before
    assert bench.store.leases.holder("s") is None


def test_a_resume_while_the_study_runs_is_refused_and_changes_nothing(bench, stored):
    before, record = stored(), bench.store.studies.get("s")
    with hold_lease(bench.store, record), pytest.raises(StudyError, match="is being run"):
        run_study(bench.store, record, [], {"trials": 3, "budget": 1.0})
    assert stored() == before


def test_a_resume_whose_data_has_gone_changes_nothing(bench, stored, monkeypatch):
    before = stored()

    def fail(*_, **__):
        raise DataError("the images are gone")

    monkeypatch.setattr("attentune.search.run.study_data.StudyData.prepare", fail)
    with pytest.raises(DataError, match="images are gone"):
        run_study(bench.store, bench.store.studies.get("s"), [], {"trials": 9})
    assert stored() == before


def test_a_resume_stores_the_changed_fields_only(bench, stored):
    def add_fields(config):
        return {**config, "of another version": 1, "plan": {**config["plan"], "workers": 1}}

    record = bench.store.studies.get("s")
    before = bench.store.studies.change_config(record, add_fields).config.json
    run_study(bench.store, record, [], {"trials": 4, "trial_timeout": 900.0, "workers": None})
    after = bench.store.studies.get("s").config.json
    assert after == {**before, "plan": {**before["plan"], "trials": 4, "trial_timeout": 900.0}}


USED_UP = [
    ({"trials": 2}, r"3 trials have started, so a total of 2 starts no more.*--trials 100"),
    ({"budget": 50.0}, r"time budget of 50 s is used up: \d+ s over all runs.*--budget …"),
    ({"device_budget": 0.5}, r"device time budget of 0.5 s is used up.*--device-budget …"),
]


@pytest.mark.parametrize(("changes", "sentence"), USED_UP)
def test_a_total_below_what_has_run_changes_nothing_and_says_so(
    bench, stored, changes, sentence, caplog
):
    caplog.set_level(logging.INFO, logger="attentune")
    bench.store.studies.set_spent_seconds("s", 100.0)
    before = stored()
    outcome = run_study(bench.store, bench.store.studies.get("s"), [], {"trials": 9, **changes})
    assert (outcome.finished, outcome.trials) == (True, 3)
    assert re.search(sentence + r".*The stored plan is unchanged\.", caplog.text)
    assert stored() == before


def test_a_stored_budget_that_is_used_up_says_so_and_what_to_do(bench, stored, caplog):
    caplog.set_level(logging.INFO, logger="attentune")
    record = bench.store.studies.get("s")
    run_study(bench.store, record, [SpendTime(bench.store)], {"trials": 9, "budget": 1000.0})
    assert len(bench.store.trials.read("s")) < 9
    caplog.clear()
    outcome = run_study(bench.store, record)
    assert (outcome.finished, outcome.trials) == (True, 4)
    assert "The time budget of 17 min is used up: 33 min over all runs, with 4 of 9" in caplog.text
    assert "`attentune resume s --budget …`" in caplog.text
    assert "unchanged" not in caplog.text


class SpendTime(Callback):
    """Lets the first trial of a run take longer than the budget."""

    def __init__(self, store):
        self.store = store

    def on_study_start(self, study):
        self.study = study

    def on_trial_end(self, _trial, _record):
        self.study.lease._earlier_seconds += 2000.0


def test_a_refused_confirmation_stores_no_plan(bench, stored):
    run_study(bench.store, bench.store.studies.get("s"), [], {"trials": 6})
    before, record = stored(), bench.store.studies.get("s")
    with pytest.raises(AttentuneError, match="cuda"):
        confirm_study(bench.store, record, ConfirmRequest(seeds=3, device="cuda:7"))
    assert stored() == before
    confirm_study(bench.store, record, ConfirmRequest(top=1, seeds=2, epochs=2))
    assert bench.store.studies.get("s").config.confirmation.seeds == 2
