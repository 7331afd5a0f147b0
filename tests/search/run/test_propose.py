"""What a search proposes: baselines, new architectures and further seeds."""

from __future__ import annotations

import pytest
from attentune.errors import SpaceError
from attentune.search.run.propose import Proposer
from attentune.search.samplers.additive import ThompsonSampling
from attentune.spaces.search_space.space import Space

BASELINES = [
    "test_resnet",
    "test_resnet+se(r=16,start=identity)@all.residual",
    "test_resnet+eca(start=identity)@all.residual",
    "test_resnet+cbam(r=16,start=identity)@all.residual",
    "test_resnet+ca(r=32,start=identity)@all.residual",
]
TINY = Space.of(attentions=("none", "se", "eca"), ratios=(4, 8), granularity="network")


def test_the_baselines_run_first(bench):
    bench.run("s", 8, bench.config())
    trials = bench.store.trials.read(bench.store.studies.get("s"))
    assert [t.architecture for t in trials[:5]] == BASELINES
    assert [t.role for t in trials] == ["baseline"] * 5 + ["search"] * 3


def test_the_next_trial_is_selected_while_the_last_one_is_about_to_end(bench, monkeypatch):
    """It is selected once, and the selection is the same as after the end."""
    asked, select = [], ThompsonSampling.select

    def recorded_select(self, seen, seed, number):
        last = bench.store.trials.read(bench.store.studies.get("ahead"))[-1]
        asked.append((number, last.state))
        return select(self, seen, seed, number)

    with monkeypatch.context() as patched:
        patched.setattr(ThompsonSampling, "select", recorded_select)
        bench.run("ahead", 20, bench.config(sampler="additive"))
    numbers = [number for number, _ in asked]
    assert numbers == sorted(set(numbers))
    assert "running" in {state for _, state in asked}
    monkeypatch.setattr(Proposer, "ask_ahead", lambda *_: None)
    bench.run("afterwards", 20, bench.config(sampler="additive"))
    assert bench.rows("ahead") == bench.rows("afterwards")


def test_a_known_architecture_gets_its_next_seed(bench):
    bench.run("s", 30, bench.config(space=TINY, seed=7))
    rows = bench.rows("s")
    pairs = [(text, seed) for _, text, seed, *_ in rows]
    assert len(set(pairs)) == len(pairs) == 30
    by_text: dict[str, list[int]] = {}
    for text, seed in pairs:
        by_text.setdefault(text, []).append(seed)
    assert max(map(len, by_text.values())) > 2
    for seeds in by_text.values():
        assert sorted(seeds) == list(range(7, 7 + len(seeds)))


def test_every_seed_that_is_used_has_a_bare_backbone_to_compare_with(bench):
    bench.run("s", 30, bench.config(space=TINY))
    rows = bench.rows("s")
    last = rows[-1]
    bare = {seed for _, text, seed, *_ in rows if text == "test_resnet"}
    assert {seed for _, _, seed, *_ in rows if (_, seed) != (last[1], last[2])} - bare <= {last[2]}


def test_a_limit_rejects_before_anything_is_trained(bench):
    limit = 385_000
    bench.run("s", 25, bench.config(sampler="tpe", limits={"params": limit}))
    study = bench.store.studies.get("s")
    assert all(
        job.number in {t.number for t in bench.store.trials.read(study)}
        for job in bench.pool.started
    )
    assert len(bench.store.trials.read(study)) == 25
    rejected = bench.store.trials.read_rejections(study)
    assert rejected
    assert not {r.key for r in rejected} & {job.architecture.key for job in bench.pool.started}
    assert "above the limit" in rejected[0].reason


def test_a_limit_below_the_bare_backbone_is_refused_with_the_limit(bench):
    with pytest.raises(
        SpaceError, match=r"bare test_resnet exceeds a limit itself: params .*1,000"
    ):
        bench.run("s", 5, bench.config(limits={"params": 1000}))


def test_a_crash_between_the_database_and_optuna_is_repaired_at_resume(bench, monkeypatch):
    on_trial_end = Proposer.on_trial_end

    def crash(self, trial):
        if trial.number == 5:
            raise KeyboardInterrupt
        on_trial_end(self, trial)

    monkeypatch.setattr(Proposer, "on_trial_end", crash)
    with pytest.raises(KeyboardInterrupt):
        bench.run("s", 10, bench.config())
    monkeypatch.setattr(Proposer, "on_trial_end", on_trial_end)
    bench.run("s", 10)
    bench.run("whole", 10, bench.config())
    assert bench.rows("s") == bench.rows("whole")


def test_several_workers_never_run_one_architecture_with_one_seed_twice(bench):
    bench.pool.workers = 4
    bench.run("s", 30, bench.config(space=TINY))
    pairs = [(job.architecture.key, job.seed) for job in bench.pool.started]
    assert len(set(pairs)) == len(pairs) == 30
