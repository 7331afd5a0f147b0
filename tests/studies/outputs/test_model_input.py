"""What an exported model says of an image is what its trial was judged by."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import attentune
import numpy as np
import pytest
import torch
from attentune.errors import DataError
from attentune.runners.data import inspect_data, load_data
from attentune.runners.data.image_limits import DEFAULT_LIMITS, ImageLimits
from attentune.runners.data.preprocessing import Preprocessing, ValueRange
from attentune.runners.recipe import Recipe
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.evaluation import evaluate
from attentune.runners.training.tensor_file import write_tensors
from attentune.sanitize import json_text
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from attentune.studies.outputs import export
from attentune.studies.outputs.model_input import input_maker
from PIL import Image
from unusual_images import write_unusual_images

TEXT = "test_resnet+eca@all.residual"
SIZE = 32


def write_export(folder: Path, recipe: Recipe, model: torch.nn.Module) -> None:
    """The files of an export, as `export` writes them, without a study."""
    data = load_data(recipe)
    facts: dict[str, Any] = {
        "format": 1,
        "attentune": "0.1.0",
        "architecture": TEXT,
        "plugins": {},
        "num_classes": 2,
        "classes": list(data.classes),
        "image_size": recipe.image_size,
        "stem": recipe.stem,
        "preprocessing": data.preprocessing.to_json(),
        "study": "photos",
        "trial": 3,
        "seed": 0,
        "data": data.name,
        "epochs": 1,
        "judged_on": "validation",
        "values": {"accuracy": 0.5, "params": 1, "macs": 1},
        "recipe": recipe.model_dump(mode="json"),
    }
    folder.mkdir()
    write_tensors(folder / "model.safetensors", model.state_dict(), {"format": "pt"})
    (folder / "architecture.json").write_text(json_text(facts))
    (folder / "README.md").write_text(export.model_card(facts))
    shutil.copyfile(export.preprocessing.__file__, folder / "preprocessing.py")


def code_of_card(folder: Path) -> list[str]:
    """The Python code on the model card."""
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)


def run_card(code: str, file: Path) -> dict[str, Any]:
    """Run code of the card on a file; its variables and what it printed."""
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(re.sub(r'"image\.\w+"', repr(str(file)), code), names)
    return {**names, "printed": printed.getvalue().strip()}


def biased_network(in_chans: int = 3, seed: int = 0) -> torch.nn.Module:
    """A network that is not trained, but whose two classes are about equally frequent."""
    architecture = parse(TEXT)
    return build_network(
        architecture, num_classes=2, image_size=SIZE, in_chans=in_chans, seed=seed
    ).eval()


@pytest.mark.parametrize(
    ("kind", "fit", "mirror", "in_chans"),
    [
        ("wide", "crop", False, 3),
        ("wide", "pad", True, 3),
        ("wide", "squash", False, 3),
        ("turned", "crop", False, 3),
        ("transparent", "pad", False, 1),
        ("deep", "squash", True, 3),
        ("float", "crop", False, 1),
        ("array", "crop", True, 5),
    ],
)
def test_the_cards_own_code_gives_the_class_of_every_validation_image(
    kind, fit, mirror, in_chans, tmp_path, monkeypatch
):
    monkeypatch.setattr(attentune, "load", cache(attentune.load))
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "cache"))
    photos = write_unusual_images(tmp_path / "photos", kind, 6)
    value_range = inspect_data(str(photos)).value_range
    recipe = Recipe.of(
        data=str(photos),
        image_size=SIZE,
        fit=fit,
        mirror=mirror,
        value_range=value_range,
        in_chans=in_chans,
    )
    model = biased_network(in_chans)
    folder = tmp_path / "model"
    write_export(folder, recipe, model)
    trained = DeviceData.of(load_data(recipe), torch.device("cpu"))
    judged = evaluate(model, trained, recipe, keep="all").predictions
    assert judged is not None
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    code, without_attentune = code_of_card(folder)
    results = {}
    for file in sorted(photos.glob("*/*")):
        shown = run_card(code, file)
        plain = run_card(without_attentune, file)
        np.testing.assert_array_equal(plain["x"], shown["x"].numpy())
        results[shown["x"].numpy().tobytes()] = shown
    sys.modules.pop("preprocessing", None)
    # The validation images are recognised by their pixels, which have to be those of training.
    inputs = trained.normalised(trained.val.take(torch.arange(len(trained.val))))
    for number, image in enumerate(inputs):
        shown = results[image.contiguous().numpy().tobytes()]
        assert shown["printed"] == ("disc", "ring")[judged.predicted[number]]
        expected = torch.from_numpy(judged.log_probabilities[number].astype(np.float32))
        torch.testing.assert_close(shown["logits"][0].log_softmax(0), expected, atol=2e-3, rtol=0)


def test_the_copied_file_needs_neither_attentune_nor_torch(tmp_path):
    shutil.copyfile(export.preprocessing.__file__, tmp_path / "preprocessing.py")
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "image.png")
    code = (
        "import sys\n"
        "from PIL import Image\n"
        "from preprocessing import Preprocessing\n"
        "print(Preprocessing(8).normalise(Image.open('image.png')).mean((1, 2)).tolist())\n"
        "assert not {'torch', 'attentune', 'timm'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[1.0, 0.0, 0.0]"


FACTS = {
    "format": 1,
    "attentune": "0.0.9",
    "architecture": TEXT,
    "num_classes": 2,
    "classes": ["disc", "ring"],
    "image_size": SIZE,
    "stem": "native",
    "mean": [0.1, 0.2, 0.3],
    "std": [0.2, 0.3, 0.4],
}


@pytest.fixture
def old_export(tmp_path) -> Path:
    """An export of a version that stored the size, mean and deviation alone."""
    write_tensors(tmp_path / "model.safetensors", biased_network().state_dict(), {"format": "pt"})
    (tmp_path / "architecture.json").write_text(json_text(FACTS))
    return tmp_path


def test_an_export_without_a_preprocessing_says_what_is_assumed(old_export):
    with pytest.warns(UserWarning, match=r"attentune 0\.0\.9, .* the central square is resized"):
        model = attentune.load(old_export)
    expected = Preprocessing(SIZE, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4))
    assert Preprocessing.from_json(model.attentune["preprocessing"]) == expected


def test_a_file_an_image_and_a_copy_of_the_model_give_one_input(old_export):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = attentune.load(old_export)
    file = old_export / "image.jpg"
    Image.effect_noise((900, 700), 50).save(file)
    expected = model.preprocess(file)
    assert expected.shape == (3, SIZE, SIZE)
    assert expected.dtype == torch.float32
    copied = pickle.loads(pickle.dumps(model.preprocess))
    for image in (str(file), Image.open(file)):
        assert torch.equal(copied(image), expected)


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_a_file_that_is_no_image_is_refused_in_a_sentence(content, old_export):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = attentune.load(old_export)
    file = old_export / "image.jpg"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"image\.jpg cannot be read \("):
        model.preprocess(file)


def test_a_preprocessing_that_is_damaged_is_refused(old_export):
    good = Preprocessing(SIZE)
    for damaged in (
        None,
        [],
        {"image_size": 32, "fit": "stretch"},
        {"image_size": 32, "colour": "red"},
        replace(good, image_size=16).to_json(),
        {**replace(good, value_range=ValueRange(0, 1)).to_json(), "value_range": [1]},
    ):
        facts = {**FACTS, "preprocessing": damaged}
        (old_export / "architecture.json").write_text(json_text(facts))
        with pytest.raises(attentune.AttentuneError, match="is not an exported model"):
            attentune.load(old_export)


def test_a_larger_image_is_read_if_that_is_asked_for(tmp_path, monkeypatch):
    file = tmp_path / "large.png"
    Image.new("1", (400, 300)).save(file)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    with pytest.raises(DataError, match="--max-pixels"):
        input_maker(Preprocessing(8), DEFAULT_LIMITS)(file)
    assert input_maker(Preprocessing(8), ImageLimits(10**8))(file).shape == (3, 8, 8)
