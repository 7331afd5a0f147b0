"""A study as a table: one row a trial, one column a choice."""

from __future__ import annotations

import csv

import pytest
from attentune.errors import UsageError
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.insertion_facts import InsertionFacts
from attentune.studies.outputs.trials_table import trials_table, write_trials_table

TEXTS = (
    "resnet18",
    "resnet18+se(r=16)@all.residual",
    "resnet18+cbam(r=4)@s1,s3-s4.post+eca@s3.residual",
    "resnet18+eca@s2b1.mid",
)


@pytest.fixture
def table(store, study, add):
    for number, text in enumerate(TEXTS):
        add(text, 0.5 + number / 10, 1000 + number, seed=number)
    store.trials.start(study, 4, parse(TEXTS[1]), seed=9)
    store.trials.fail(study, 4, Failure("error", "=boom\nbang", "trace"))
    return trials_table(store, study)


def test_a_choice_has_a_column_and_a_trial_a_row(table):
    columns, rows = table
    assert [row["number"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[2]["accuracy"] == pytest.approx(0.7)
    choices = [name for name in columns if name.endswith(".attention")]
    assert choices == [f"{place}.attention" for place in ("s1", "s2", "s2b1", "s3", "s4")]
    assert not any(name in rows[0] for name in choices)
    assert [rows[1].get(name) for name in choices] == ["se", "se", None, "se", "se"]
    assert [rows[2].get(name) for name in choices] == ["cbam", None, None, "cbam+eca", "cbam"]
    assert (rows[2]["s3.position"], rows[2]["s3.ratio"]) == ("post+residual", "4+")
    assert rows[3]["s2b1.attention"] == "eca"
    assert rows[4]["failure"] == "error: =boom\nbang"


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".TSV", "\t")])
def test_a_file_holds_the_table(store, study, table, tmp_path, suffix, separator):
    path = tmp_path / f"trials{suffix}"
    assert write_trials_table(store, study, path) == 5
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=separator))
    assert list(rows[0]) == table[0]
    assert rows[1]["s4.ratio"] == "16"
    assert rows[0]["s4.attention"] == rows[0]["latency_ms"] == ""
    assert rows[0]["started_at"].endswith("+00:00")


def test_parquet_keeps_types(store, study, table, tmp_path):
    from pyarrow import parquet

    write_trials_table(store, study, tmp_path / "trials.parquet")
    rows = parquet.read_table(tmp_path / "trials.parquet").to_pylist()
    assert rows[1]["params"] == 1001
    assert rows[0]["s1.attention"] is None


def test_another_suffix_and_a_missing_folder_are_stated(store, study, table, tmp_path):
    with pytest.raises(UsageError, match=r"trials\.xlsx has no suffix .* use \.csv, \.tsv or"):
        write_trials_table(store, study, tmp_path / "trials.xlsx")
    assert not list(tmp_path.glob("trials*"))


def test_removed_own_attention_has_a_column_where_a_study_removes_it(store, study, add):
    add("resnet18", 0.5, 1000)
    add("resnet18(attention=none@s2,s3b1)+eca@s2.mid", 0.6, 900, seed=1)
    columns, rows = trials_table(store, study)
    assert [name for name in columns if name.endswith(".own")] == [
        f"{place}.own" for place in ("s1", "s2", "s3", "s3b1")
    ]
    removed = {name for name, value in rows[1].items() if value == "removed"}
    assert removed == {"s2.own", "s3b1.own"}
    assert not any(name.endswith(".own") for name in rows[0])
    add("resnet18(attention=none)", 0.6, 900, seed=2)
    store.insertions.record(study, {"own removed@all.own": InsertionFacts({2: 1.0}, None, -5.0)})
    assert [name for name in trials_table(store, study)[1][2] if name.endswith(".own")] == [
        "s2.own"
    ]


def test_a_module_of_a_network_of_ones_own_is_a_place_of_its_own(store, study, add):
    add("net+cbam(r=16)@{model.6}.post+se(r=4)@s2.residual", 0.5)
    columns, (row,) = trials_table(store, study)
    choices = [name for name in columns if name.endswith(".attention")]
    assert choices == ["s1.attention", "s2.attention", "{model.6}.attention"]
    assert (row["{model.6}.attention"], row["{model.6}.ratio"]) == ("cbam", "16")
    assert "s1.attention" not in row
