"""What a search proposes: baselines, new architectures and further seeds."""

from __future__ import annotations

import pytest
from attentune.errors import AttentionError, SpaceError
from attentune.runners.costs import CostModel
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


def break_attention(monkeypatch, *texts: str) -> None:
    """Let the cost model raise for architectures with one of these texts."""
    price = CostModel.price

    def raising_price(self, architecture):
        for text in texts:
            if text in str(architecture):
                raise AttentionError(f"{text} cannot be used: on a map of 1×1×1 it raises KeyError")
        return price(self, architecture)

    monkeypatch.setattr(CostModel, "price", raising_price)


@pytest.mark.parametrize("sampler", ["additive", "tpe", "random"])
def test_an_attention_that_raises_costs_its_architectures_and_no_trial(bench, monkeypatch, sampler):
    """Half of the space cannot be used."""
    break_attention(monkeypatch, "+cbam", "@s2.")
    bench.run("s", 6, bench.config(sampler=sampler))
    bench.run("s", 9)
    rows = bench.rows("s")
    assert [state for *_, state, _ in rows] == ["complete"] * 9
    assert not [text for _, text, *_ in rows if "+cbam" in text or "@s2." in text]
    rejections = bench.store.trials.read_rejections(bench.store.studies.get("s"))
    assert {r.architecture for r in rejections} >= {BASELINES[3]}
    assert all("cannot be used: on a map" in rejection.reason for rejection in rejections)


def test_a_search_goes_on_where_attentions_raise_as_if_it_had_not_stopped(bench, monkeypatch):
    break_attention(monkeypatch, "+eca@s1.")
    bench.run("whole", 16, bench.config(sampler="tpe"))
    bench.run("halves", 9, bench.config(sampler="tpe"))
    bench.run("halves", 16)
    assert bench.rows("halves") == bench.rows("whole")


def test_a_grid_leaves_out_what_cannot_be_used(bench, monkeypatch):
    break_attention(monkeypatch, "+se(r=4")
    bench.run("s", 20, bench.config(space=TINY, sampler="grid"))
    assert not [text for _, text, *_ in bench.rows("s") if "+se(r=4" in text]


def test_a_space_in_which_all_but_the_bare_backbone_raises_ends_with_a_sentence(bench, monkeypatch):
    """It is not trained again and again."""
    break_attention(monkeypatch, "+se", "+eca")
    for sampler in ("additive", "tpe", "grid"):
        with pytest.raises(SpaceError, match="but the bare backbone"):
            bench.run(sampler, 30, bench.config(space=TINY, sampler=sampler))
        bare = [row for row in bench.rows(sampler) if row[1] == "test_resnet"]
        assert len(bare) == 1


def test_an_architecture_that_keeps_failing_is_not_proposed_for_ever(bench):
    """Only those of the plan's trials fail that are needed to know it."""
    bench.pool.fails_with = "+se"
    bench.run("s", 40, bench.config(space=TINY))
    failed = [(text, seed) for _, text, seed, state, _ in bench.rows("s") if state == "failed"]
    searched = [text for text, _ in failed if text not in BASELINES]
    assert searched
    assert max(map(searched.count, searched)) <= 2
    assert len(bench.rows("s")) == 40


@pytest.mark.parametrize(
    "sampler", ["additive", "tpe", "nsga2", "nsga3", "gp", "qmc", "random", "grid"]
)
@pytest.mark.parametrize("attentions", [("eca",), ("none", "eca")], ids=["one", "two"])
def test_more_trials_than_architectures_repeat_them_with_other_seeds(bench, sampler, attentions):
    space = Space.of(attentions=attentions, granularity="network")
    bench.run("s", 16, bench.config(space=space, sampler=sampler))
    pairs = [(text, seed) for _, text, seed, *_ in bench.rows("s")]
    assert len(set(pairs)) == 16
    assert max(seed for _, seed in pairs) >= 5
