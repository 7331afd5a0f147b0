"""A study of the gallery goes from images to pages, and stops in time."""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from attentune.benchmarks.gallery import OUT_OF_TIME, PLOTLY_MARK, Gallery, GalleryStudy
from PIL import Image

TINY = GalleryStudy(
    "tiny",
    "--backbone test_resnet --data photos --attention none --attention eca --granularity network"
    " --trials 2 --epochs 1 --workers 1 --lr 0.01 --precision float32 --memory-format contiguous",
    "--top 1 --seeds 2 --epochs 1",
)


def write_archives(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 6)):
        with tarfile.open(folder / f"{split}.tar.gz", "w:gz") as archive:
            for label in ("dark", "light"):
                for number in range(count):
                    level = 40 if label == "dark" else 160
                    pixels = generator.integers(level, level + 60, (32, 32, 3), dtype=np.uint8)
                    content = io.BytesIO()
                    Image.fromarray(pixels).save(content, "png")
                    entry = tarfile.TarInfo(f"{split}/{label}/{number}.png")
                    entry.size = content.tell()
                    content.seek(0)
                    archive.addfile(entry, content)


def options(folder: Path, minutes: float) -> argparse.Namespace:
    return argparse.Namespace(
        data=folder,
        folder=folder / "work",
        minutes=minutes,
        full=False,
        pages=folder / "pages",
        results=folder / "results",
    )


def test_a_study_is_searched_confirmed_and_shown_and_a_later_call_repeats_nothing(tmp_path, capfd):
    write_archives(tmp_path)
    (tmp_path / "work").mkdir()
    late = Gallery(options(tmp_path, 0))
    late.prepare()
    with pytest.raises(SystemExit) as stopped:
        late.run(TINY)
    assert stopped.value.code == OUT_OF_TIME

    Gallery(options(tmp_path, 5)).run(TINY)
    result = json.loads((tmp_path / "results/gallery_tiny.json").read_text())
    assert result["counts"]["complete"] == 2
    assert result["confirmation"]["contenders"]
    assert result["commands"][0].startswith("attentune search tiny --backbone test_resnet")
    report = (tmp_path / "pages/tiny-report.html").read_text("utf-8")
    assert report.count(PLOTLY_MARK) == 1
    assert len(report) < 500_000
    rows = (tmp_path / "pages/tiny.csv").read_text("utf-8").splitlines()
    assert len(rows) > 2
    assert sorted(path.name for path in (tmp_path / "pages/tiny-model").iterdir()) == [
        "architecture.json",
        "model-card.md",
    ]

    capfd.readouterr()
    Gallery(options(tmp_path, 5)).run(TINY)
    assert (
        json.loads((tmp_path / "results/gallery_tiny.json").read_text())["trials"]
        == (result["trials"])
    )
