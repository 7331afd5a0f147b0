"""Texts that name an experiment tracker."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
from attentune.errors import UsageError
from attentune.studies.followers.target import TrackerTarget


@pytest.mark.parametrize(
    ("text", "tool", "place"),
    [
        ("tensorboard:runs", "tensorboard", "runs"),
        ("TensorBoard", "tensorboard", None),
        (" wandb:team/project ", "wandb", "team/project"),
        ("mlflow:http://localhost:5000", "mlflow", "http://localhost:5000"),
    ],
)
def test_a_text_names_a_tool_and_a_place(text, tool, place):
    target = TrackerTarget.parse(text)
    assert (target.tool, target.place) == (tool, place)
    assert TrackerTarget.parse(str(target)) == target


@pytest.mark.parametrize("text", ["", "tensorbord:runs", ":runs", "runs", "neptune:x"])
def test_another_tool_is_refused_with_those_that_there_are(text):
    with pytest.raises(UsageError, match=r"names no experiment tracker.*tensorboard:FOLDER"):
        TrackerTarget.parse(text)


def test_a_colon_without_a_place_is_refused():
    with pytest.raises(UsageError, match=r"nothing follows the colon .* write mlflow alone, or"):
        TrackerTarget.parse("mlflow:")


def test_messages_hide_the_password_of_a_server():
    assert "secret" not in TrackerTarget.parse("mlflow:http://me:secret@host:5000").shown


@pytest.mark.parametrize("spec", [None, SimpleNamespace(origin=None)])
def test_a_missing_package_is_one_sentence(monkeypatch, spec):
    """Also where the tool has left a folder of its name, which Python takes for a package."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(UsageError) as error:
        TrackerTarget("wandb").require_package()
    assert str(error.value) == "W&B is not installed; run `pip install 'attentune[wandb]'`"
