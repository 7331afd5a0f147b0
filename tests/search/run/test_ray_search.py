"""Studies on a Ray cluster: results as on this machine, and nothing lost with a node."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch
from attentune.runners.events import EpochDone
from attentune.runners.results import WEIGHTS_FILE
from attentune.search.run.callback import Callback
from attentune.search.run.session import create_study, run_study
from attentune.search.setup.request import read_request
from attentune.studies.database.store import Store
from ray_clusters import ray_workers
from safetensors.torch import load_file

pytestmark = pytest.mark.ray

REQUEST = {
    "backbone": "test_resnet",
    "data": "digits",
    "image_size": 16,
    "train_limit": 256,
    "epochs": 2,
    "trials": 12,
    "workers": 1,
    "device": "cpu",
    "lr": 0.004,
    "precision": "float32",
    "memory_format": "channels_last",
}


def search(store, name, **settings):
    record = create_study(store, name, read_request({**REQUEST, **settings}, None))
    run_study(store, record)
    return record


def results(store, name):
    """What a study has proposed and measured, by number."""
    trials = store.trials.read(store.studies.get(name))
    assert all(trial.state == "complete" for trial in trials)
    return [(trial.number, trial.architecture, trial.seed, trial.accuracy) for trial in trials]


def test_twelve_trials_on_this_machine_equal_six_and_six_on_ray(tmp_path, ray_cluster):
    with Store.open(tmp_path / "s.db", create=True) as store:
        search(store, "here")
        on_ray = {"pool": "ray", "ray_address": ray_cluster.address}
        bucket = f"file://{tmp_path}/bucket"
        record = search(store, "there", trials=6, artifacts=bucket, **on_ray)
        run_study(store, store.studies.get("there"), plan_changes={"trials": 12})
        assert record.config.plan.pool == "ray"
        assert len(results(store, "there")) == 12
        assert results(store, "there") == results(store, "here")
        files = store.artifacts_of("there").files(record.folder)
        assert len([name for name in files if name.endswith(WEIGHTS_FILE)]) == 12
        here, there = (
            load_file(store.trial_file(name, 11, WEIGHTS_FILE)) for name in ("here", "there")
        )
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here)


class NodeKiller(Callback):
    """Kills a node in the middle of a trial, and notes how each trial went."""

    def __init__(self, cluster, node):
        self.cluster, self.node = cluster, node
        self.interrupted: dict[int, str | None] = {}
        self.epochs: dict[int, list[EpochDone]] = {}
        self.ended: list[int] = []

    def on_epoch(self, trial, report):
        self.epochs.setdefault(trial.number, []).append(report)
        if self.ended and report.epoch == 8:
            self.cluster.kill_node(self.node)

    def on_trial_interrupted(self, trial, reason):
        self.interrupted[trial.number] = reason

    def on_trial_end(self, trial, _record):
        self.ended.append(trial.number)


def test_a_search_loses_no_trial_with_a_node(tmp_path, ray_cluster):
    node = ray_cluster.add_node()
    killer = NodeKiller(ray_cluster, node)
    settings = {"trials": 6, "epochs": 16, "workers": None, "pruner": "none"}
    request = {**REQUEST, **settings, "pool": "ray", "ray_address": ray_cluster.address}
    with Store.open(tmp_path / "s.db", create=True) as store:
        record = create_study(store, "s", read_request(request, None))
        assert run_study(store, record, [killer]).finished
        trials = results(store, "s")
    assert sorted(killer.ended) == list(range(6)), "each has ended once"
    assert len({(architecture, seed) for _, architecture, seed, _ in trials}) == 6, "none twice"
    (number,) = killer.interrupted
    assert "was lost" in killer.interrupted[number]
    for each, reports in killer.epochs.items():
        epochs = [report.epoch for report in reports]
        repeated = [report for report in reports[1:] if epochs.count(report.epoch) > 1]
        assert set(epochs) == set(range(1, 17))
        assert each == number or not repeated
        assert sum(report.seconds for report in repeated) / 2 < 10


def test_an_interrupted_command_leaves_no_actor(tmp_path, ray_cluster):
    settings = {**REQUEST, "epochs": 200, "pool": "ray", "ray_address": ray_cluster.address}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "attentune", "search", "s", *options, "--db", "s.db"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        try:
            with_trial = time.monotonic() + 120
            while not list(tmp_path.glob("attentune.artifacts/study-*/trial-*")):
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < with_trial
                time.sleep(0.2)
            assert ray_workers()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130, (tmp_path / "log").read_text()
        finally:
            process.kill()
    assert "attentune resume s" in (tmp_path / "log").read_text()
    deadline = time.monotonic() + 20
    while ray_workers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not ray_workers()
    assert not list((tmp_path / "attentune.artifacts").glob(".*")), "tokens are removed"
