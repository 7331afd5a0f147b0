"""What the study of YOLO concludes from its runs."""

from __future__ import annotations

import pytest
from attentune.benchmarks.docs_yolo_table import render_yolo_study
from attentune.benchmarks.yolo_study import BARE, IMAGE_SIDE, IMAGES, NETWORK, VARIANTS, summarise

GAINS = dict(zip(VARIANTS, (0.0, 0.1, 0.002, -0.002, 0.001, 0.0), strict=True))
NOISE = (0.001, -0.001, 0.0)


def runs(seeds=(0, 1, 2)):
    """Runs whose seeds differ much, and whose noise is small."""
    return [
        {
            "variant": variant,
            "seed": seed,
            "map50_95": 0.3 + 0.1 * seed + gain + NOISE[(seed + number) % 3],
            "map50": 0.5,
            "params": 2_590_000,
        }
        for seed in seeds
        for number, (variant, gain) in enumerate(GAINS.items())
    ]


def test_differences_are_those_from_the_bare_network_at_equal_seeds():
    summary = summarise(runs())
    rows = {row["variant"]: row for row in summary["rows"]}
    assert "difference" not in rows[BARE]
    assert rows["none, longer"]["difference"] == pytest.approx(0.1, abs=0.002)
    assert rows["none, longer"]["claimed"]
    assert not rows["SE, backbone"]["claimed"]
    assert rows["SE, backbone"]["low"] < 0.002 < rows["SE, backbone"]["high"]
    assert 0.002 < summary["detectable"] < 0.01


def test_a_seed_counts_if_all_variants_have_it():
    assert summarise(runs()[:-1])["seeds"] == [0, 1]
    assert summarise(runs(seeds=(0,))) == {}


def test_the_table_says_what_was_measured():
    result = {"summary": summarise(runs()), "images": IMAGES, "image_side": IMAGE_SIDE}
    result |= {"network": NETWORK, "ultralytics": "8.4"}
    result["variants"] = {name: variant.insertions for name, variant in VARIANTS.items()}
    text = "\n".join(render_yolo_study(result))
    assert "| none | – | 8 | 2.590 M | 40.0 (30.1 to 50.0) | 50.0 | – | – |" in text
    assert "| none, longer | – | 10 |" in text
    assert "3 paired seeds" in text
