"""--data and --allow-changed-data: what resume, confirm and export do once images have changed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from attentune.runners.results import WEIGHTS_FILE
from attentune.runners.training.tensor_file import write_tensors
from attentune.search.run import session
from attentune.search.setup import resolve
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from attentune.studies.database.store import Store
from PIL import Image

SEARCH = ["search", "s", "--backbone", "test_resnet", "--data", "photos", "--image-size", "16"]
SEARCH += ["--trials", "2", "--epochs", "2", "--workers", "1", "--device", "cpu"]
SEARCH += ["--precision", "float32", "--memory-format", "channels_last", "--stem", "native"]
CONFIRM = ["confirm", "s", "--top", "1", "--seeds", "2"]
EXPORT = ["export", "s", "--pick", "0", "-o", "model"]


def draw(folder, classes, first=0):
    for shade, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(first, first + 12):
            rng = np.random.default_rng([shade, number])
            pixels = rng.integers(60 * shade, 60 * shade + 60, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def photos(run_here, bench, tmp_path, monkeypatch):
    """The images of a study of two trials, whose workers need no time."""
    monkeypatch.setattr(session, "make_pool", lambda *_: bench.new_pool())
    monkeypatch.setattr(session, "warm_up", lambda: None)
    monkeypatch.setattr(
        resolve, "autotune_learning_rate", lambda _request, recipe, *_: (recipe, ())
    )
    folder = draw(tmp_path / "photos", ("cats", "dogs"))
    code, printed = run_here(*SEARCH)
    assert code == 0, printed
    network = build_network(parse("test_resnet"), num_classes=2, image_size=16, seed=0)
    with Store.open(tmp_path / "attentune.db") as store:
        weights = store.trial_file(store.studies.get("s"), 0, WEIGHTS_FILE)
        weights.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(weights, network.state_dict(), {"format": "pt"})
    return folder


def test_changed_images_stop_each_command_until_that_is_allowed(run_here, photos, tmp_path):
    commands = (["resume", "s", "--trials", "3"], CONFIRM, EXPORT)
    draw(tmp_path / "other", ("cats", "dogs"), first=50)
    for words in commands:
        code, printed = run_here(*words, "--data", "other")
        assert (code, "24 images are gone" in printed) == (1, True), printed
    assert not (tmp_path / "model").exists()
    (photos / "cats").rename(photos / "felines")
    for words in commands:
        code, printed = run_here(*words)
        assert code == 1
        assert "the class 'cats' is called 'felines' now" in printed
        assert "--allow-changed-data" in printed
        code, printed = run_here(*words, "--allow-changed-data")
        assert code == 0, printed
        assert "the class 'cats' is called 'felines' now" in printed
    facts = json.loads((tmp_path / "model" / "architecture.json").read_text("utf-8"))
    assert facts["classes"] == ["cats", "dogs"]
    assert json.loads(run_here("show", "s", "--json")[1])["counts"]["complete"] == 3


def test_a_new_place_of_the_same_images_is_named_once(run_here, photos, tmp_path):
    photos.rename(tmp_path / "elsewhere")
    code, printed = run_here("resume", "s", "--trials", "3")
    assert (code, "--data" in printed) == (1, True), printed
    assert run_here("resume", "s", "--trials", "3", "--data", "elsewhere")[0] == 0
    assert run_here("resume", "s", "--trials", "4")[0] == 0
    (tmp_path / "elsewhere").rename(tmp_path / "again")
    assert run_here(*CONFIRM, "--data", "again")[0] == 0
    assert run_here(*EXPORT, "--data", "again")[0] == 0
