"""Initial weights: pretrained where there are some for photographs, a file, or random ones."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest
import torch
from attentune.errors import AttentuneError, UsageError
from attentune.search.run.study_run import StudyRun
from attentune.search.setup import initial_weights
from attentune.search.setup.initial_weights import (
    check_frozen_epochs,
    check_requested_weights,
    log_initial_scales,
    resolve_initial_weights,
)
from attentune.search.setup.request import read_request
from attentune.search.setup.resolve import resolve_request
from attentune.spaces.backbones import pretrained
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.studies.config import RunPlan
from PIL import Image

PHOTOGRAPHS = lambda: None  # noqa: E731


@pytest.fixture(autouse=True)
def _messages(caplog):
    caplog.set_level(logging.INFO, "attentune")


@pytest.fixture
def published(monkeypatch):
    """The weights of every backbone can be had."""
    loaded = []
    monkeypatch.setattr(initial_weights, "why_no_published_weights", lambda *_, **__: None)
    monkeypatch.setattr(initial_weights, "pretrained_backbone", loaded.append)
    return loaded


def request(**settings):
    return read_request({"backbone": "test_resnet", "data": "photos", **settings}, None)


def test_photographs_begin_with_published_weights_and_their_preprocessing(published, caplog):
    fields = resolve_initial_weights(request(), 2, PHOTOGRAPHS)
    mean, std = fields["normalisation"]
    assert (fields["init"], fields["interpolation"]) == ("pretrained", "bilinear")
    assert (mean, std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert published == ["test_resnet"]
    assert "starting from the weights that timm publishes for test_resnet" in caplog.messages[0]


def test_the_normalisation_is_adapted_to_grey_images_and_left_to_those_of_many_channels(published):
    grey, many = (resolve_initial_weights(request(), 2, PHOTOGRAPHS, c) for c in (1, 5))
    assert grey["normalisation"] == ((0.5,), (0.5,))
    assert many["normalisation"] is None
    assert grey["init"] == many["init"] == "pretrained"


def test_what_shows_no_photographs_begins_with_random_weights(published, caplog):
    reason = "they are drawings"
    assert resolve_initial_weights(request(), 2, lambda: reason) == {"init": "scratch"}
    assert caplog.messages == [
        "training from random weights: they are drawings; --init overrides this"
    ]
    assert published == []


def test_offline_it_begins_with_random_weights_and_says_so(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert resolve_initial_weights(request(), 2, PHOTOGRAPHS) == {"init": "scratch"}
    assert "the hub cannot be reached" in caplog.messages[0]


def test_a_hub_that_does_not_respond_is_not_waited_for(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: time.sleep(3600))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pretrained, "MAX_HUB_SECONDS", 0.05)
    assert resolve_initial_weights(request(), 2, PHOTOGRAPHS) == {"init": "scratch"}
    assert "the hub cannot be reached" in caplog.messages[0]


def test_a_download_that_fails_is_no_failure_of_the_search(published, monkeypatch, caplog):
    def fail(_):
        raise AttentuneError("the connection was reset")

    monkeypatch.setattr(initial_weights, "pretrained_backbone", fail)
    assert resolve_initial_weights(request(), 2, PHOTOGRAPHS) == {"init": "scratch"}
    assert "the connection was reset" in caplog.messages[0]


def test_a_backbone_without_published_weights_begins_with_random_ones(caplog):
    fields = resolve_initial_weights(request(backbone="resnet6"), 2, PHOTOGRAPHS)
    assert fields == {"init": "scratch"}
    assert "timm publishes no weights for resnet6" in caplog.messages[0]


def test_a_word_that_is_no_file_is_refused():
    with pytest.raises(UsageError, match=r"no file of weights at pretraned; .*pretrained"):
        check_requested_weights(request(init="pretraned"))


@pytest.fixture
def photos(tmp_path):
    """A folder of tiny photographs, and a file of weights."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            image = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "photos" / name / f"{number}.png")
    torch.save(import_timm().create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    return tmp_path


def test_a_search_from_a_file_normalises_images_for_its_weights(photos, cache, caplog):
    settings = {"data": str(photos / "photos"), "init": str(photos / "w.pth"), "device": "cpu"}
    settings |= {"lr": 0.01, "attention_lr": 0.01}
    settings |= {"precision": "float32", "memory_format": "channels_last"}
    recipe = resolve_request(request(**settings), None).recipe
    assert "the head is new" in caplog.messages[0]
    assert recipe.weights_file == photos / "w.pth"
    assert recipe.init_digest
    assert len(recipe.init_digest) == 64
    assert recipe.stem == "stride1"  # The small stem would shrink the kernels of the weights.
    from attentune.runners.data import load_data

    assert load_data(recipe).mean == recipe.normalisation.mean == (0.5, 0.5, 0.5)
    random = recipe.model_copy(update={"normalisation": None})
    assert load_data(random).mean != (0.5, 0.5, 0.5)
    other = recipe.model_copy(update={"init_digest": "0" * 64})
    assert other.identity_facts() != recipe.identity_facts()


def test_another_file_of_the_same_name_is_refused_when_a_study_continues(photos, cache):
    settings = {"data": str(photos / "photos"), "init": str(photos / "w.pth"), "device": "cpu"}
    settings |= {"lr": 0.01, "attention_lr": 0.01, "precision": "float32"}
    settings |= {"memory_format": "channels_last", "stem": "native", "space": "where"}
    config = resolve_request(request(**settings), None)
    run = StudyRun(None, None, config, RunPlan())
    run.check_initial_weights()
    (photos / "w.pth").write_bytes(b"others")
    with pytest.raises(AttentuneError, match="other weights than those that the study began with"):
        run.check_initial_weights()


def test_published_starts_are_said_to_change_pretrained_maps(caplog):
    space = request(space="quick", attention=("none", "se", "nl"), start="paper").resolved_space()
    log_initial_scales(space)
    assert "se ×0.5" in caplog.messages[0]
    assert "nl" not in caplog.messages[0].partition(":")[2].partition(";")[0]
    assert "--start identity begins with the backbone as it is" in caplog.messages[0]
    caplog.clear()
    log_initial_scales(request(start="identity").resolved_space())
    assert caplog.messages == []


def test_a_backbone_with_random_weights_is_not_frozen(caplog):
    assert check_frozen_epochs(request(head_epochs=1), "pretrained") == {}
    assert check_frozen_epochs(request(head_epochs=1), "scratch") == {"head_epochs": 0}
    assert "it is not frozen" in caplog.messages[0]
    with pytest.raises(UsageError, match="makes no sense with random weights"):
        check_frozen_epochs(request(head_epochs=1, init="scratch"), "scratch")
