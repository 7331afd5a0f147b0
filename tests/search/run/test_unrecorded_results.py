"""A process that is killed between a result and its commit trains nothing again."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from attentune.runners.events import END_OF_TRIAL, Decision
from attentune.runners.results import PREDICTIONS_FILE, WEIGHTS_FILE
from attentune.runners.training.train import Training
from attentune.runners.workers.trial import run_trial
from attentune.search.run import session
from attentune.search.run.confirm import ConfirmRequest
from attentune.search.run.session import confirm_study, create_study, run_study
from attentune.search.setup.request import read_request
from attentune.studies.database.predictions import load_predictions
from attentune.studies.database.trials import TrialRepository

REQUEST = {
    "backbone": "test_resnet",
    "data": "digits",
    "image_size": 16,
    "train_limit": 64,
    "attention": ["eca"],
    "epochs": 2,
    "trials": 3,
    "workers": 1,
    "device": "cpu",
    "lr": 0.004,
    "precision": "float32",
    "memory_format": "channels_last",
}


class Killed(BaseException):
    """The process has been killed."""


class OwnProcessPool:
    """One worker in the coordinator's own process. Its trials go on after every epoch."""

    size = 1

    def __init__(self):
        self.queue = deque()
        self.job = None

    @property
    def idle(self):
        return int(self.job is None)

    def start(self, job):
        self.job = job

    def events(self, timeout):
        del timeout
        if self.job is not None and not self.queue:
            run_trial(self.job, self._send, device=torch.device("cpu"))
        event = self.queue.popleft()
        if isinstance(event, END_OF_TRIAL):
            self.job = None
        return [event]

    def _send(self, event):
        self.queue.append(event)
        return Decision.GO_ON

    def reply(self, number, decision):
        pass

    def kill(self, number):
        raise AssertionError(f"trial {number} hangs")

    def close(self):
        pass


@pytest.fixture
def trained(monkeypatch):
    """Pools train in this process. The epochs that were trained are listed, counted from 0."""
    epochs = []
    train_epoch = Training.train_epoch

    def counted(training, epoch):
        epochs.append(epoch)
        return train_epoch(training, epoch)

    monkeypatch.setattr(Training, "train_epoch", counted)
    monkeypatch.setattr(session, "make_pool", lambda *_: OwnProcessPool())
    monkeypatch.setattr(session, "warm_up", lambda: None)
    return epochs


@pytest.fixture
def kill_at(monkeypatch):
    """Kill the process when it is about to record the n-th result from now on; that result."""
    finish = TrialRepository.finish

    def kill_at(count):
        results = []

        def killed(repository, study, number, result):
            results.append(result)
            if len(results) == count:
                raise Killed
            return finish(repository, study, number, result)

        monkeypatch.setattr(TrialRepository, "finish", killed)
        return results

    yield kill_at
    monkeypatch.setattr(TrialRepository, "finish", finish)


@pytest.mark.parametrize("confirming", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_result_that_was_not_recorded_is_taken_from_the_weights(
    bench, trained, kill_at, confirming
):
    store = bench.store
    record = create_study(store, "s", read_request(REQUEST, None))

    def run():
        request = ConfirmRequest(top=1, seeds=2, epochs=3)
        return confirm_study(store, record, request) if confirming else run_study(store, record)

    if confirming:
        run_study(store, record)
        trained.clear()
    results = kill_at(2)
    with pytest.raises(Killed):
        run()
    unrecorded = store.trials.read(record, confirming=confirming)[-1]
    assert unrecorded.state == "running"
    weights = store.trial_file(record, unrecorded.number, WEIGHTS_FILE)
    predictions = store.trial_file(record, unrecorded.number, PREDICTIONS_FILE)
    written, predicted = weights.read_bytes(), predictions.read_bytes()
    kill_at(0)
    assert run().finished
    trials = store.trials.read(record, confirming=confirming)
    assert len(trained) == sum(trial.epochs for trial in trials), "no epoch was trained twice"
    assert {trial.state for trial in trials} == {"complete"}
    recorded = store.trials.get(record, unrecorded.number)
    assert (recorded.accuracy, recorded.seconds) == (results[-1].accuracy, results[-1].seconds)
    assert weights.read_bytes() == written
    assert predictions.read_bytes() == predicted
    for trial in trials:  # The recorded accuracy is compared with the predictions there.
        assert load_predictions(store, record, trial) is not None
    assert not list(store.study_folder(record).rglob("checkpoint*"))
