"""mixup and CutMix: what an image shows of each of two, and the shares that say so."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.augmentation.mixing import mix_images, mixes_images, partners_in_batches
from attentune.runners.augmentation.random_draws import ImageDraws


def mixtures(tiny_recipe, batch_size=10, **settings):
    """Images that are 0 with partners that are 200, and the shares of the first."""
    images = torch.zeros(200, 16, 16, 3, dtype=torch.uint8)
    images[(torch.arange(200) % batch_size) >= batch_size // 2] = 200
    recipe = tiny_recipe.model_copy(update=settings)
    mixed, shares = mix_images(images, ImageDraws(0, 0), torch.arange(200), recipe, batch_size)
    is_dark = images.flatten(1)[:, 0] == 0
    return mixed[is_dark], shares[is_dark]


def test_partners_are_of_the_same_batch():
    assert partners_in_batches(torch.arange(6), 3).tolist() == [2, 1, 0, 5, 4, 3]


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_is_the_mean_weighted_by_the_share(tiny_recipe, alpha):
    mixed, shares = mixtures(tiny_recipe, mixup=alpha)
    expected = ((1 - shares) * 200).round()
    assert torch.equal(mixed.float(), expected[:, None, None, None].expand_as(mixed))
    assert 0.25 < shares.mean() < 0.75
    assert ((shares < 0.05) | (shares > 0.95)).float().mean() > (0.4 if alpha < 1 else 0.02)


def test_cutmix_shows_a_rectangle_of_the_partner_with_the_share_of_its_pixels(tiny_recipe):
    mixed, shares = mixtures(tiny_recipe, cutmix=1.0)
    is_cut = (mixed == 200).all(3)
    assert torch.equal(is_cut, (mixed != 0).any(3))
    assert torch.equal(1 - is_cut.flatten(1).float().mean(1), shares)
    heights, widths = is_cut.any(2).sum(1), is_cut.any(1).sum(1)
    assert torch.equal(heights * widths, is_cut.flatten(1).sum(1))
    assert shares.min() < 0.4
    assert shares.max() > 0.9


def test_with_both_each_image_is_either_blended_or_cut(tiny_recipe):
    mixed, shares = mixtures(tiny_recipe, mixup=1.0, cutmix=1.0)
    values = [image.unique().tolist() for image in mixed]
    is_cut = torch.tensor([set(v) <= {0, 200} for v in values])
    assert 25 < is_cut.sum() < 75
    torch.testing.assert_close(
        1 - mixed.flatten(1).float().mean(1) / 200, shares, atol=3e-3, rtol=0
    )


def test_mixing_is_off_unless_asked_for(tiny_recipe):
    assert not mixes_images(tiny_recipe)
    assert mixes_images(tiny_recipe.model_copy(update={"cutmix": 1.0}))
