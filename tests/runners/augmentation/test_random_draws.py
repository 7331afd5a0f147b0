"""Random numbers by (seed, epoch, image): even, independent, and the same in any company."""

from __future__ import annotations

import torch
from attentune.runners.augmentation.random_draws import Draw, ImageDraws

IMAGES = torch.arange(20_000)


def test_numbers_are_even_between_zero_and_one():
    numbers = ImageDraws(3, 7).uniform(Draw.CROP_AREA, IMAGES)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = torch.histc(numbers, 20, 0, 1)
    assert (counts - 1000).abs().max() < 150  # five standard deviations


def test_numbers_of_other_seeds_epochs_purposes_and_images_are_independent():
    rows = [
        ImageDraws(seed, epoch).uniform(draw, IMAGES)
        for seed in (0, 1, 2)
        for epoch in (0, 1, 11)
        for draw in (Draw.CROP_AREA, Draw.CROP_RATIO, Draw.CUT_ROW)
    ]
    rows.append(rows[0].roll(1))
    correlations = torch.corrcoef(torch.stack(rows)) - torch.eye(len(rows))
    assert correlations.abs().max() < 0.04  # more than five standard deviations


def test_a_number_does_not_depend_on_the_other_images():
    draws = ImageDraws(5, 2)
    together = draws.uniform(Draw.ERASING, IMAGES)
    assert torch.equal(draws.uniform(Draw.ERASING, IMAGES[[17, 3, 999]]), together[[17, 3, 999]])


def test_numbers_stay_what_they_were():
    numbers = ImageDraws(1, 2).uniform(Draw.CROP_AREA, torch.arange(3)).tolist()
    assert numbers == [0.8306055665016174, 0.5440805554389954, 0.894294798374176]


def test_choices_and_signs_are_even():
    draws = ImageDraws(0, 0)
    counts = draws.choice(Draw.FIRST_OPERATION, IMAGES, 14).bincount(minlength=14)
    assert len(counts) == 14
    assert (counts - 20_000 / 14).abs().max() < 200
    signs = draws.sign(Draw.FIRST_SIGN, IMAGES)
    assert signs.unique().tolist() == [-1, 1]
    assert signs.mean().abs() < 0.04
