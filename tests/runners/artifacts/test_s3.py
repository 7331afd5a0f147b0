"""A study in a bucket of a simulated S3 server: search, the server away, resume, export, removal.

It needs `pip install 'attentune[s3]' 'moto[server]'`, which the pins of the tests exclude.
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time

import pytest
from attentune.errors import MachineError
from attentune.runners.artifacts.remote_store import RemoteStore
from attentune.runners.artifacts.store import open_store
from attentune.runners.results import WEIGHTS_FILE
from attentune.search.run.callback import Callback
from attentune.search.run.copy_studies import copy_studies, select_studies
from attentune.search.run.session import create_study, run_study
from attentune.search.setup.request import read_request
from attentune.studies.database.store import Store
from attentune.studies.outputs.export import export

NEEDED = ("s3fs", "moto", "boto3", "flask_cors")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in NEEDED),
        reason="needs s3fs and moto's server",
    ),
]
BUCKET = "studies"
REQUEST = {
    "backbone": "test_resnet",
    "data": "digits",
    "image_size": 16,
    "train_limit": 256,
    "epochs": 2,
    "trials": 3,
    "workers": 1,
    "device": "cpu",
    "lr": 0.004,
    "precision": "float32",
    "memory_format": "channels_last",
}


class Server:
    """Starts and stops the server. What it holds is gone when it stops."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server has not started")

    def make_bucket(self) -> None:
        import boto3

        boto3.client("s3").create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(monkeypatch, cache):
    del cache
    server = Server()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.url,
    }.items():
        monkeypatch.setenv(name, value)
    server.make_bucket()
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # It has the addresses of earlier servers.
    open_store.cache_clear()
    yield server
    server.stop()
    open_store.cache_clear()


def files_of(store: Store, name: str) -> list[str]:
    record = store.studies.get(name)
    return sorted(store.artifacts_of(record).files(record.folder))


def test_a_study_keeps_its_files_in_a_bucket(server, tmp_path):
    settings = REQUEST | {"artifacts": f"s3://{BUCKET}/x"}
    with (
        Store.open(tmp_path / "s.db", create=True) as store,
        Store.open(tmp_path / "copy.db", create=True) as target,
    ):
        record = create_study(store, "s", read_request(settings, None))
        run_study(store, record)
        kept = [name for name in files_of(store, "s") if name.endswith(WEIGHTS_FILE)]
        assert kept == [f"trial-{number:05d}/{WEIGHTS_FILE}" for number in range(3)]
        assert not any("checkpoint" in name for name in files_of(store, "s"))
        record = store.studies.get("s")
        export(store, record, store.trials.get(record, 0), tmp_path / "model")
        assert (tmp_path / "model" / WEIGHTS_FILE).stat().st_size > 0
        list(copy_studies(store, target, select_studies(store)))
        store.delete_study("s")
        assert len(files_of(target, "s")) == 6
        bucket = target.artifacts_of("s")
        target.delete_study("s")
        assert bucket.files("") == {}


def test_a_bucket_that_vanishes_stops_the_study_and_resume_finishes_it(server, tmp_path):
    import boto3

    client = boto3.client("s3")
    settings = REQUEST | {"artifacts": f"s3://{BUCKET}/x", "trials": 2, "epochs": 4}

    class Remover(Callback):
        def on_epoch(self, trial, report):
            if trial.number == 1 and report.epoch == 1:
                server.stop()
                server.start()

    with Store.open(tmp_path / "s.db", create=True) as store:
        record = create_study(store, "s", read_request(settings, None))
        with pytest.raises(
            MachineError, match=r"cannot write s3://studies/x.*does not exist.*resu"
        ):
            run_study(store, record, [Remover()])
        states = [trial.state for trial in store.trials.read(record)]
        assert states == ["complete", "running"]
        client.create_bucket(Bucket=BUCKET)
        run_study(store, store.studies.get("s"))
        assert [trial.state for trial in store.trials.read(record)] == ["complete", "complete"]
        assert f"trial-00001/{WEIGHTS_FILE}" in files_of(store, "s")


def test_a_missing_bucket_and_a_missing_server_are_said_at_once(server):
    with pytest.raises(MachineError, match=r"cannot write s3://missing/x \(it does not exist\)"):
        RemoteStore("s3://missing/x").check()
    server.stop()
    with pytest.raises(MachineError, match=r"cannot write s3://studies/x .*Could not connect"):
        RemoteStore(f"s3://{BUCKET}/x").check()


def test_without_credentials_a_sentence_says_so(server, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(MachineError, match=r"(?i)unable to locate credentials"):
        RemoteStore(f"s3://{BUCKET}/y").check()
