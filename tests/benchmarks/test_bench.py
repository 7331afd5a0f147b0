"""What `make bench` says of a result beside the committed one."""

from __future__ import annotations

import copy
import sys

import pytest
from attentune.benchmarks import bench

RESULT = {
    "environment": {"device": "cpu (A)", "instructions": "AVX2", "system": "Linux", "torch": "2"},
    "rows": [
        {
            "backbone": "resnet18",
            "images_per_second": {"ours": {"median": 50.0, "quartiles": [49, 51], "rounds": 5}},
            "ours / bare": {"median": 0.97, "quartiles": [0.96, 0.98], "rounds": 5},
            "cost_ms": {"median": 20.0, "quartiles": [18.0, 21.0], "rounds": 5},
        }
    ],
}


def changed(**medians):
    """The result with other medians, their quartiles as far away as before."""
    result = copy.deepcopy(RESULT)
    for key, median in medians.items():
        figure = result["rows"][0][key.replace("_over_", " / ")]
        figure["quartiles"] = [q + median - figure["median"] for q in figure["quartiles"]]
        figure["median"] = median
    return result


def test_a_ratio_that_falls_by_more_than_its_spread_is_marked():
    [line] = bench.compare_results(changed(ours_over_bare=0.94), RESULT)
    assert line.startswith("worse: rows[resnet18].ours / bare: 0.94 (")
    assert "committed 0.97 (0.96 to 0.98)" in line
    assert bench.compare_results(changed(ours_over_bare=0.955), RESULT) == []
    assert bench.compare_results(changed(ours_over_bare=1.2), RESULT) == []


def test_a_time_that_grows_by_more_than_its_spread_is_marked():
    assert len(bench.compare_results(changed(cost_ms=24.0), RESULT)) == 1
    assert bench.compare_results(changed(cost_ms=10.0), RESULT) == []


def test_rates_of_the_machine_are_not_compared():
    names = [figure.name for figure in bench.find_figures(RESULT)]
    assert names == ["rows[resnet18].ours / bare", "rows[resnet18].cost_ms"]


def test_a_result_of_another_machine_is_not_compared():
    other = changed(ours_over_bare=0.5)
    other["environment"]["device"] = "cpu (B)"
    [line] = bench.compare_results(other, RESULT)
    assert line.startswith("not compared")
    assert "cpu (A)" in line


@pytest.mark.parametrize("name", bench.BENCHMARKS)
def test_every_benchmark_exists(name):
    assert (bench.FOLDER / bench.BENCHMARKS[name][0]).is_file()


def test_what_takes_too_long_is_stopped_and_the_rest_is_not_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "BENCHMARKS", {"first": ("slow.py",), "second": ("slow.py",)})
    monkeypatch.setattr(sys, "argv", ["bench.py", "--minutes", "0.02"])
    with pytest.raises(SystemExit, match="0"):
        bench.main()
    said = capsys.readouterr().out
    assert "first\n  stopped, because the time was used up" in said
    assert "second\n  not run: no time was left" in said


def test_a_benchmark_that_fails_is_said_and_found_in_the_exit_code(tmp_path, monkeypatch, capsys):
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "BENCHMARKS", {"first": ("broken.py",)})
    monkeypatch.setattr(sys, "argv", ["bench.py"])
    with pytest.raises(SystemExit, match="1"):
        bench.main()
    assert "first\n  failed; the earlier result remains" in capsys.readouterr().out
