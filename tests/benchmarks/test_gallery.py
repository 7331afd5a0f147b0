"""A study of the gallery goes from images to pages, and stops in time."""

from __future__ import annotations

import argparse
import html
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from attentune import load
from attentune.benchmarks.gallery import OUT_OF_TIME, Gallery, GalleryStudy
from attentune.benchmarks.report_script import PLOTLY_MARK
from PIL import Image

ROOT = Path(__file__).parents[2]
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


def test_the_committed_model_is_the_one_that_its_study_recommends_and_it_can_be_loaded():
    result = json.loads((ROOT / "benchmarks/results/gallery_scratch.json").read_text())
    model = load(ROOT / "docs/gallery/scratch-model")
    assert model.attentune["architecture"] == result["recommendation"]["architecture"]
    image = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    with torch.no_grad():
        logits = model(model.preprocess(image)[None])
    assert logits.shape == (1, 10)


@pytest.mark.parametrize("study", ["scratch", "pretrained"])
def test_a_committed_report_is_that_of_its_result_without_the_script(study):
    report = (ROOT / f"docs/gallery/{study}-report.html").read_text("utf-8")
    result = json.loads((ROOT / f"benchmarks/results/gallery_{study}.json").read_text())
    assert report.count(PLOTLY_MARK) == 1
    text = html.unescape(re.sub(r"<[^>]+>|\u200b", "", report))
    assert result["confirmation"]["sentence"].replace("`", "") in text.replace("`", "")
