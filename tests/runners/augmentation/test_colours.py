"""Colour jitter: factors of brightness, contrast and saturation, as Pillow applies them."""

from __future__ import annotations

import numpy as np
import torch
from attentune.runners.augmentation.colours import grey_values, jitter_colours
from attentune.runners.augmentation.random_draws import Draw, ImageDraws
from PIL import Image, ImageEnhance

DRAWS = ImageDraws(0, 0)
INDEX = torch.arange(6)


def photographs(count=6, side=16):
    draw = torch.Generator().manual_seed(0)
    return torch.randint(60, 160, (count, side, side, 3), generator=draw, dtype=torch.uint8)


def test_grey_values_are_those_of_pillow():
    images = photographs()
    expected = np.stack(
        [np.asarray(Image.fromarray(image.numpy()).convert("L")) for image in images]
    )
    assert torch.equal(grey_values(images), torch.from_numpy(expected).float())


def test_jitter_is_that_of_pillow_but_for_rounding():
    images = photographs()
    jittered = jitter_colours(images, DRAWS, INDEX, 0.3)
    factors = torch.stack(
        [
            DRAWS.uniform(draw, INDEX, 0.7, 1.3)
            for draw in (Draw.BRIGHTNESS, Draw.CONTRAST, Draw.SATURATION)
        ],
        1,
    )
    for image, result, (brightness, contrast, saturation) in zip(
        images, jittered, factors.tolist(), strict=True
    ):
        expected = ImageEnhance.Brightness(Image.fromarray(image.numpy())).enhance(brightness)
        expected = ImageEnhance.Contrast(expected).enhance(contrast)
        expected = ImageEnhance.Color(expected).enhance(saturation)
        difference = result.int() - torch.from_numpy(np.asarray(expected)).int()
        assert difference.abs().max() <= 3


def test_one_channel_is_changed_as_grey_images_are_and_many_have_no_saturation():
    grey = photographs()[..., :1]
    jittered = jitter_colours(grey, DRAWS, INDEX, 0.3).int()
    in_rgb = jitter_colours(grey.repeat(1, 1, 1, 3), DRAWS, INDEX, 0.3).int()
    assert (jittered - in_rgb).abs().max() <= 1
    many = photographs().repeat(1, 1, 1, 2)[..., :5]
    changed = jitter_colours(many, DRAWS, INDEX, 0.3)
    # The same values stay the same in all channels.
    for image, result in zip(many, changed, strict=True):
        table = torch.full((256,), -1)
        table[image.long().flatten()] = result.long().flatten()
        assert torch.equal(table[image.long()], result.long())


def test_images_are_changed_differently_and_stay_in_range():
    images = photographs()[:1].expand(6, -1, -1, -1)
    jittered = jitter_colours(images, DRAWS, INDEX, 1.0)
    assert len({tuple(image.flatten().tolist()) for image in jittered}) == 6
    assert torch.equal(jitter_colours(images, DRAWS, INDEX, 0.0), images)
