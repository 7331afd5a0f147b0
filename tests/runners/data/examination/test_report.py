"""What a report says of data: counts by split, what is broken, and what is repeated."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from attentune.runners.data.examination.report import report_data
from attentune.sanitize import json_text
from PIL import Image

from ..image_files import folder, pack, recipe


def photograph(seed: int, quality: int | None = None) -> bytes:
    """A smooth random image as PNG, or as JPEG of some quality."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(small).resize((48, 36))
    image.save(buffer, "PNG") if quality is None else image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def photographs() -> dict[str, bytes]:
    """Ten images of each of two classes, which have splits of their own."""
    contents = {}
    for number in range(10):
        for label, name in enumerate(("cats", "dogs")):
            seed = 2 * number + label
            split = "train" if number < 6 else "test"
            contents[f"{split}/{name}/{number}.png"] = photograph(seed)
    return contents


@pytest.mark.parametrize("packing", ["folder", "tar.gz", "zip"])
def test_a_report_counts_and_names_what_a_search_would_see(packing, tmp_path):
    contents = photographs()
    contents |= {
        "test/cats/copy.png": photograph(0),
        "test/dogs/again.jpg": photograph(1, quality=90),
        "train/dogs/cat.png": photograph(2 * 4),
        "train/cats/broken.png": b"no image",
        "train/cats/1.heic": b"",
        "test/cats/Thumbs.db": b"",
    }
    seen = []
    report = report_data(
        recipe(pack(tmp_path, packing, contents), 32),
        lambda done, total: seen.append((done, total)),
    )
    assert report.classes == ("cats", "dogs")
    assert report.held_out == ("val",)
    totals = np.sum([report.counts["train"], report.counts["val"]], axis=0)
    assert totals.tolist() == [6, 7]
    assert report.counts["test"] == (5, 5)
    assert report.sizes.median_shorter_side == 36
    assert report.sizes.kept == pytest.approx(36 / 48)
    assert [image.label.endswith("train/cats/broken.png") for image in report.broken] == [True]
    assert sum(files.count for files in report.left_out) == 2
    assert report.repeated_counts["test"] == 1
    pairs = {
        tuple(
            sorted(name.rpartition("pets")[2].split("/", 1)[-1] for name in (p.first, p.second))
        ): p.equal
        for p in report.repeated
    }
    endings = {tuple(name[-12:] for name in names): equal for names, equal in pairs.items()}
    assert sorted(endings.values()) == [False, True, True]
    assert seen[-1][0] == 23
    assert json.loads(json_text(report.to_json()))["counts"]["test"] == [5, 5]


def test_the_majority_is_the_accuracy_of_always_saying_one_class(tmp_path):
    contents = {f"train/a/{n}.png": photograph(n) for n in range(6)}
    contents |= {f"train/b/{n}.png": photograph(10 + n) for n in range(6)}
    contents |= {f"val/a/{n}.png": photograph(20 + n) for n in range(9)}
    contents["val/b/0.png"] = photograph(40)
    report = report_data(recipe(folder(tmp_path / "pets", contents), 16))
    assert report.majority["val"] == ("a", 0.9)
    assert not report.is_grey
    assert not report.repeated


@pytest.mark.parametrize("channels", [1, 3])
def test_that_all_images_are_grey_is_said_where_they_become_rgb(channels, tmp_path):
    contents = {}
    for name, count in (("a", 6), ("b", 6)):
        for number in range(count):
            with Image.open(io.BytesIO(photograph(number + 10 * len(contents)))) as image:
                file = io.BytesIO()
                image.convert("L").save(file, "PNG")
            contents[f"{name}/{number}.png"] = file.getvalue()
    report = report_data(recipe(folder(tmp_path / "pets", contents), 16, in_chans=channels))
    assert (report.channels, report.is_grey) == (channels, channels == 3)
    assert not report.repeated
