"""Tables are trained in parts that go on, and say whether longer training would rank alike."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from attentune.benchmarks.long_training_ranks import compare_ranks
from attentune.benchmarks.tabular_benchmark import (
    DIGIT_TABLES,
    TabularBenchmark,
    missing_trials,
)
from attentune.benchmarks.train_tabular_benchmark import main, open_table

ROOT = Path(__file__).parents[2]
SETTINGS = f"""
backbone = "resnet6"
data = "digits"
space = "{ROOT}/benchmarks/tables/space.toml"
epochs = 2
batch-size = 16
image-size = 18
train-limit = 120
lr = 0.004
stem = "native"
precision = "float32"
memory-format = "channels_last"
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory, cache) -> Path:
    del cache
    path = tmp_path_factory.mktemp("table") / "small.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture
def train(config, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["train_tabular_benchmark.py", str(config), *words])
        main()
        return capsys.readouterr().out

    return run


def test_a_table_goes_on_where_it_was_and_is_not_mixed_with_another_recipe(config, train):
    sample = ["--sample", "2"]
    train(*sample, "--seeds", "1")
    table = json.loads(config.with_suffix(".json").read_text())
    started = [row for row in table["architectures"] if row["seeds"]]
    assert [row["seeds"] for row in started] == [[0], [0]]
    assert len(table["architectures"]) == 128  # 125, and the textbook choices outside of the space
    assert sum(row.get("outside", False) for row in table["architectures"]) == 3
    with pytest.raises(SystemExit, match="still to train: 1; call again"):
        train(*sample, "--seeds", "2", "--seconds", "0")
    assert "trials to train: 1" in train(*sample, "--seeds", "2")
    again = {
        row["architecture"]: row
        for row in json.loads(config.with_suffix(".json").read_text())["architectures"]
    }
    for row in started:
        assert again[row["architecture"]]["seeds"] == [0, 1]
        assert again[row["architecture"]]["accuracy"][0] == row["accuracy"][0]
        assert len(row["accuracy"][0]) == 2
    with pytest.raises(SystemExit, match="with another recipe"):
        train(*sample, "--epochs", "3")


@pytest.mark.parametrize("path", DIGIT_TABLES, ids=lambda path: path.stem)
def test_a_committed_table_is_whole_and_what_its_settings_say(path):
    table = open_table(path, path.with_suffix(".toml"), {})
    seeds = TabularBenchmark(path).seeds
    assert seeds >= 3
    assert not missing_trials(table["architectures"], seeds)


def make_table(epochs: int, finals: np.ndarray) -> dict:
    rows = [
        {"architecture": f"a{i}", "seeds": [0, 1, 2], "accuracy": [[float(v)] for v in values]}
        for i, values in enumerate(finals)
    ]
    return {"recipe": {"epochs": epochs}, "architectures": rows}


def test_ranks_that_stay_are_told_from_those_that_turn():
    draw = np.random.default_rng(0)
    true_accuracy = np.linspace(0.6, 0.8, 15)[:, None]
    table, same, turned = (
        make_table(epochs, values + draw.normal(0, 0.01, (15, 3)))
        for epochs, values in ((8, true_accuracy), (20, true_accuracy), (20, 1.4 - true_accuracy))
    )
    stays, turns = compare_ranks(table, same), compare_ranks(table, turned)
    assert stays["rank_correlation"][0] > 0.9
    assert turns["rank_correlation"][0] < -0.9
    low, high = stays["rank_correlation"][1:]
    assert low <= stays["rank_correlation"][0] <= high
    assert stays["table"]["deviation"] == pytest.approx(100 * true_accuracy.std(ddof=1), rel=0.2)
    assert stays["table"]["standard_error"] == pytest.approx(1 / 3**0.5, rel=0.4)
