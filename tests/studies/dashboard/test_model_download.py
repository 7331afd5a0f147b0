"""The exported model of a trial as a download, or a sentence that says why there is none."""

from __future__ import annotations

import io
import zipfile

import pytest
from attentune.spaces.architecture import parse
from attentune.studies.dashboard import model_download
from attentune.studies.dashboard.app import make_app
from attentune.studies.dashboard.background import BackgroundProcess


@pytest.fixture
def client(study, reader, add, monkeypatch):
    add("resnet18", 0.5)
    monkeypatch.setattr(BackgroundProcess, "call", lambda _, function, *rest: function(*rest))
    return make_app(reader).server.test_client()


def test_a_model_is_packed(client, monkeypatch):
    def export(_store, record, trial, folder):
        folder.mkdir()
        (folder / "architecture.json").write_text(f"{record.name} {trial.number}")

    monkeypatch.setattr("attentune.studies.outputs.export.export", export)
    response = client.get("/model.zip?study=first&trial=0")
    assert response.status_code == 200
    assert 'filename="first-trial-0.zip"' in response.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(response.data)) as archive:
        assert archive.read("architecture.json") == b"first 0"


def test_what_cannot_be_exported_is_said(client, store, study):
    store.trials.start(study, 1, parse("resnet18"), seed=1)
    for query, status, words in (
        ("trial=0", 409, "trial 0"),  # Its weights are not there.
        ("trial=1", 409, "is running, not complete"),
        ("trial=77", 409, "no trial 77"),
        ("study=nowhere&trial=0", 404, "no such study"),
        ("study=first", 404, "names no trial"),
    ):
        response = client.get(f"/model.zip?{query}")
        assert response.status_code == status
        assert words in response.get_data(as_text=True)


def test_another_site_cannot_make_the_server_export(client):
    response = client.get("/model.zip?trial=0", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403


def test_one_model_is_exported_at_a_time(client):
    with model_download._one_export:
        assert client.get("/model.zip?trial=0").status_code == 503
