"""The tables of the performance page are what the committed results say."""

from __future__ import annotations

import json

import pytest
from attentune.benchmarks import docs_tables
from attentune.benchmarks.trials import compare


@pytest.mark.parametrize("path", docs_tables.PAGES, ids=lambda path: path.stem)
def test_a_committed_page_is_what_the_command_would_write(path):
    page = path.read_text("utf-8")
    assert docs_tables.fill_page(page) == page


@pytest.mark.parametrize("file", sorted(path.name for path in docs_tables.RESULTS.glob("*.json")))
def test_no_committed_measurement_was_made_on_a_busy_machine(file):
    result = json.loads((docs_tables.RESULTS / file).read_text("utf-8"))
    assert not result.get("busy"), file


def test_a_page_is_filled_from_a_result_and_filling_it_again_changes_nothing(tmp_path):
    environment = {"device": "cpu (X)", "system": "Linux, 2 cores", "python": "3.11"}
    environment |= {"attentune": "0.1.0", "torch": "2.13.0", "timm": "1.0.31", "optuna": "5.0.0"}
    parts = {"build": 12.0, "price": 1.0, "propose": 20.0, "weights": 3.0}
    row = {"backbone": "resnet18", "cost_ms": {"median": 40.0, "quartiles": [39.0, 42.0]}}
    row["cost_ms"]["rounds"] = 34
    result = {"busy": False, "environment": environment, "epochs": 4, "rows": [row]}
    row["parts_ms"] = parts
    (tmp_path / "overhead_old.json").write_text(json.dumps(result))
    page = "a\n<!-- from overhead_old.json -->\nold\n<!-- end -->\nb\n"
    page += "<!-- from loop.json -->\nold\n<!-- end -->\n"
    filled = docs_tables.fill_page(page, tmp_path)
    assert (
        "| `resnet18` | 40.0 (39.0 to 42.0) ms | propose 20.0, build 12.0, weights 3.0 |" in filled
    )
    assert "timm 1.0.31, optuna 5.0.0; attentune 0.1.0." in filled
    assert f"<!-- from loop.json -->\n{docs_tables.NOT_YET}\n" in filled
    assert "old\n" not in filled
    assert docs_tables.fill_page(filled, tmp_path) == filled


def test_the_table_of_fine_tuning_has_a_row_per_network_and_size():
    def summary(median: float) -> dict:
        return {"median": median, "quartiles": [median - 0.1, median + 0.1], "rounds": 7}

    speed = {name: summary(1000.0 * n) for n, name in enumerate(("ours", "read ahead", "bare"), 1)}
    ratios = {"ours / bare": 0.97, "read ahead / bare": 0.96, "ours / timm": 2.5}
    row = {
        "backbone": "resnet18",
        "image_size": 224,
        "batch_size": 32,
        "threads": 1,
        "augmentation": "standard",
        "ours": "bf16 channels_last",
        "timm": "float32 contiguous, 0 loader processes",
        "images_per_second": {**speed, "timm": summary(400.0)},
        **{name: summary(ratio) for name, ratio in ratios.items()},
    }
    lines = docs_tables.RENDER["finetune"]({"rows": [row]})
    assert lines[2] == (
        "| `resnet18` | 224 | 1,000 | 2,000 | 3,000 | 400 | 0.970 (0.870 to 1.070) | "
        "0.960 (0.860 to 1.060) | 2.50 (2.40 to 2.60) | bf16 channels_last |"
    )
    assert "of 7 rounds" in lines[-1]


@pytest.mark.parametrize(
    ("ours", "void"),
    [
        ((0.50, 0.60, 0.70), False),
        ((0.49, 0.61, 0.70), False),
        ((0.40, 0.51, 0.60), True),
        ((0.60, 0.71, 0.80), False),
    ],
)
def test_a_lower_accuracy_voids_the_comparison(ours, void):
    theirs = dict(zip("abc", (0.50, 0.60, 0.70), strict=True))
    comparison = compare(dict(zip("abc", ours, strict=True)), theirs)
    assert ("void" in comparison) == void


def test_the_table_of_attacks_has_a_sum_and_the_measured_slopes():
    row = {"attack": "kills", "title": "SIGKILL", "tried": 1200, "lost": 0, "wrong": 1}
    slope = {"slope": 12.5, "low": 10.0, "high": 15.25, "limit": 64.0}
    first = {**row, "unstated": 2, "facts": {}}
    second = {**row, "attack": "soak", "unstated": 0, "facts": {"memory, bytes": slope}}
    result = {"rows": [first, second], "seed": 7, "seconds": 1800.0}
    lines = docs_tables.RENDER["chaos"](result)
    assert "| `kills`: SIGKILL | 1,200 | 0 | 1 | 2 |" in lines
    assert "| **all** | **2,400** | **0** | **2** | **2** |" in lines
    assert "`soak`, memory, bytes: 12.5 (95 %: 10 to 15.2; at most 64)." in lines
    assert lines[-1] == "Seed 7, 30 minutes."
