"""A contact sheet shows images as they are trained on, beside what augmentation makes of them."""

from __future__ import annotations

import numpy as np
from attentune.runners.inspection.contact_sheet import (
    IMAGES_PER_CLASS,
    draw_contact_sheet,
    read_sheet_rows,
)
from attentune.runners.recipe import Recipe
from PIL import Image


def test_a_sheet_shows_images_of_each_class_with_and_without_augmentation(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs", "größe"):
        (tmp_path / name).mkdir()
        for number in range(8):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    (tmp_path / "dogs" / "bad.png").write_bytes(b"broken")
    recipe = Recipe.of(data=str(tmp_path), image_size=20, skip_broken=True, flip=True)
    rows = read_sheet_rows(recipe)
    assert [row.class_name for row in rows] == ["cats", "dogs", "größe"]
    for row in rows:
        assert row.plain.shape == (IMAGES_PER_CLASS, 20, 20, 3)
        for plain, augmented in zip(row.plain, row.augmented, strict=True):
            assert (augmented == plain).all() or (augmented == plain[:, ::-1]).all()
    assert any((row.plain != row.augmented).any() for row in rows)
    unchanged = read_sheet_rows(recipe.model_copy(update={"flip": False}))
    for row in unchanged:
        np.testing.assert_array_equal(row.plain, row.augmented)
    sheet = np.asarray(draw_contact_sheet(rows, "mirrored"))
    assert (sheet[: len(sheet) // 3] != 255).any()
    assert sheet.shape[1] > 2 * IMAGES_PER_CLASS * 20
