"""The study in Optuna: what its own tools read, and what is repaired."""

from __future__ import annotations

import optuna


def test_optuna_reads_the_same_study_with_its_own_tools(bench):
    bench.run("s", 14, bench.config())
    study = optuna.load_study(study_name="s", storage=bench.store.url)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    rows = bench.rows("s")
    assert [t.values[0] for t in study.trials] == [accuracy for *_, accuracy in rows]
    assert study.trials[7].user_attrs["architecture"] == rows[7][1]
    figure = optuna.visualization.plot_pareto_front(study)
    assert figure.data
