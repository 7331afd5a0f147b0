"""The augmentation follows the images, the preset and the request; mirroring also the classes."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from attentune.errors import UsageError
from attentune.runners.data import prepare_data
from attentune.runners.recipe import Recipe
from attentune.search.setup.augmentation import resolve_augmentation
from attentune.search.setup.request import AUGMENTATION_FIELDS, read_request
from PIL import Image, ImageDraw


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of 24 images of two classes: triangles to the left and to the right, by their side;
    and arbitrary colours."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)

    def save(image, *names):
        file = root.joinpath(*names)
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)

    for number in range(24):
        for direction, name in ((-1, "to_left"), (1, "to_right")):
            image = Image.fromarray(rng.integers(90, 130, (40, 40, 3), dtype=np.uint8))
            x, y = rng.integers(16, 24, 2).tolist()
            tip, back = x + 8 * direction, x - 8 * direction
            ImageDraw.Draw(image).polygon([(tip, y), (back, y - 8), (back, y + 8)], (250, 240, 230))
            save(image, "arrows", name, f"{number}.png")
        for level, name in ((60, "dark"), (180, "light")):
            pixels = rng.integers(level - 30, level + 30, (70, 70, 3), dtype=np.uint8)
            save(Image.fromarray(pixels), "photos", name, f"{number}.png")
    return root


def resolved(data, size, **settings):
    request = read_request({"backbone": "resnet18", "data": str(data), **settings}, None)
    mirror = {"mirror": settings["mirror"]} if "mirror" in settings else {}
    recipe = Recipe.of(data=str(data), image_size=size, **mirror)
    return resolve_augmentation(request, recipe, prepare_data(recipe))


def changed(recipe):
    defaults = {name: Recipe.model_fields[name].default for name in AUGMENTATION_FIELDS}
    return {n: getattr(recipe, n) for n in AUGMENTATION_FIELDS if getattr(recipe, n) != defaults[n]}


def test_auto_is_standard_for_photographs_and_light_for_small_images(folders, caplog):
    caplog.set_level(logging.INFO, "attentune")
    standard = {"crop_scale": 0.35, "color_jitter": 0.2, "flip": True}
    assert changed(resolved(folders / "photos", 64)) == standard
    assert "augmentation standard (photographs of 64 pixels): random crops" in caplog.messages[0]
    assert caplog.messages[1].startswith("images are mirrored: ")
    # The shift follows the size in use, and not that of the files.
    assert changed(resolved(folders / "photos", 24)) == {"crop": 3, "flip": True}


def test_embedded_tasks_are_augmented_as_before(caplog):
    caplog.set_level(logging.INFO, "attentune")
    assert changed(resolved("digits", 36)) == {"crop": 2}
    assert changed(resolved("digits", 18)) == {"crop": 1}
    assert "images are not mirrored: by their names" in caplog.text


@pytest.mark.parametrize(
    ("preset", "fields"),
    [
        ("none", set()),
        ("light", {"flip", "crop"}),
        ("standard", {"flip", "crop_scale", "color_jitter"}),
        ("strong", {"flip", "crop_scale", "randaugment", "erasing", "mixup", "cutmix"}),
    ],
)
def test_a_preset_sets_fields_that_the_request_may_override(folders, preset, fields):
    photos = folders / "photos"
    assert changed(resolved(photos, 24, augment=preset)).keys() == fields
    recipe = resolved(photos, 24, augment=preset, flip=False, cutmix=0.5, crop=0, crop_scale=1)
    expected = (fields | {"cutmix"}) - {"flip", "crop", "crop_scale"}
    assert changed(recipe).keys() == expected
    assert recipe.cutmix == 0.5


def test_classes_that_are_mirror_images_are_not_mirrored_unless_requested(folders, caplog):
    caplog.set_level(logging.INFO, "attentune")
    assert not resolved(folders / "arrows", 40).flip
    expected = "images are not mirrored: to_left and to_right look like each other's mirror image"
    assert caplog.messages[1].startswith(expected)
    caplog.clear()
    assert resolved(folders / "arrows", 40, flip=True).flip
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings[0].startswith("--flip is set, although to_left and to_right look like")
    caplog.clear()
    resolved(folders / "arrows", 40, mirror=True, augment="none")
    assert "--mirror is set, although to_left and to_right look like" in caplog.text


@pytest.mark.parametrize("settings", [{"crop": 24}, {"cutout": 30}])
def test_what_is_larger_than_the_images_is_refused(folders, settings):
    with pytest.raises(UsageError, match="is not less than the side of the images, 24 pixels"):
        resolved(folders / "photos", 24, **settings)
