"""What must be true of a study, whatever trains its trials (DESIGN §5)."""

from __future__ import annotations

import optuna
import pytest
from attentune.errors import SpaceError, TrialError
from attentune.search.run.propose import Proposer
from attentune.search.samplers.additive import ThompsonSampling
from attentune.spaces.search_space.space import Space
from attentune.studies.config import SAMPLERS

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


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_forty_trials_equal_twenty_and_a_resume_of_twenty(bench, sampler):
    bench.run("whole", 40, bench.config(sampler=sampler, seed=3))
    bench.run("halves", 20, bench.config(sampler=sampler, seed=3))
    bench.run("halves", 40)
    assert bench.told("halves") == bench.told("whole")
    assert len(bench.told("whole")) == 40


def test_the_next_trial_is_thought_of_while_the_last_one_is_at_its_end(bench, monkeypatch):
    """Once for each, and as if it had been afterwards."""
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
    assert bench.told("ahead") == bench.told("afterwards")


@pytest.mark.parametrize("sampler", ["random", "nsga2"])
def test_another_seed_proposes_other_architectures(bench, sampler):
    bench.run("a", 15, bench.config(sampler=sampler, seed=1))
    bench.run("b", 15, bench.config(sampler=sampler, seed=2))
    architectures = [{text for _, text, *_ in bench.told(name)} for name in "ab"]
    assert len(architectures[0] ^ architectures[1]) > 5


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "random"])
def test_every_sampler_proposes_something_else_than_chance_does(bench, sampler):
    # Textbook baselines lie outside of this space: their trials have no parameters.
    space = Space.of(attentions=("none", "se", "eca"), ratios=(4,), granularity="stage")
    bench.run("chance", 45, bench.config(sampler="random", space=space))
    bench.run("guided", 45, bench.config(sampler=sampler, space=space))
    by_chance, guided = (
        [(text, seed) for _, text, seed, *_ in bench.told(name)] for name in ("chance", "guided")
    )
    assert by_chance[:5] == guided[:5]
    assert len(set(by_chance) ^ set(guided)) > 5


def test_a_known_architecture_becomes_its_next_seed(bench):
    bench.run("s", 30, bench.config(space=TINY, seed=7))
    told = bench.told("s")
    pairs = [(text, seed) for _, text, seed, *_ in told]
    assert len(set(pairs)) == len(pairs) == 30
    by_text: dict[str, list[int]] = {}
    for text, seed in pairs:
        by_text.setdefault(text, []).append(seed)
    assert max(map(len, by_text.values())) > 2
    for seeds in by_text.values():
        assert sorted(seeds) == list(range(7, 7 + len(seeds)))


def test_every_seed_that_is_used_has_a_bare_backbone_to_compare_with(bench):
    bench.run("s", 30, bench.config(space=TINY))
    told = bench.told("s")
    last = told[-1]
    bare = {seed for _, text, seed, *_ in told if text == "test_resnet"}
    assert {seed for _, _, seed, *_ in told if (_, seed) != (last[1], last[2])} - bare <= {last[2]}


def test_a_grid_tries_everything_once_before_it_repeats(bench):
    config = bench.config(space=TINY, sampler="grid")
    bench.run("s", 20, config)
    searched = [
        t for t in bench.store.trials.read(bench.store.studies.get("s")) if t.role == "search"
    ]
    fresh = [t.architecture for t in searched if t.seed == 0]
    assert len(fresh) == len(set(fresh))
    assert {t.architecture for t in bench.store.trials.read(bench.store.studies.get("s"))} >= {
        "test_resnet+se(r=4,start=identity)@all.residual",
        "test_resnet+se(r=8,start=identity)@all.residual",
        "test_resnet+eca(start=identity)@all.residual",
    }


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


def test_an_interrupt_lets_the_epoch_end_and_resume_goes_on_from_it(bench):
    def interrupt(study, trial, report):
        if trial.number == 6 and report.epoch == 1:
            study.stop()

    stopped = bench.run("s", 12, bench.config(), on_epoch=interrupt)
    assert stopped.stopping
    running = [
        t for t in bench.store.trials.read(bench.store.studies.get("s")) if t.state == "running"
    ]
    assert [(t.number, t.epochs) for t in running] == [(6, 2)]

    bench.run("s", 12)
    assert bench.pool.started[0].number == 6
    bench.run("whole", 12, bench.config())
    assert bench.told("s") == bench.told("whole")


def test_totals_count_the_trials_of_earlier_runs(bench):
    bench.run("s", 7, bench.config())
    bench.run("s", 7)
    assert not bench.pool.started
    bench.run("s", 9)
    assert len(bench.pool.started) == 2


def test_a_lost_worker_costs_its_trial_one_epoch_and_the_study_goes_on(bench):
    bench.pool.dies_after_epoch = [2]
    bench.run("s", 6, bench.config())
    assert [state for *_, state, _ in bench.told("s")] == ["complete"] * 6
    assert [job.number for job in bench.pool.started] == [0, 0, 1, 2, 3, 4, 5]


def test_a_trial_that_keeps_losing_workers_fails_and_the_study_goes_on(bench):
    bench.pool.dies_after_epoch = [2, 2, 2]
    bench.run("s", 6, bench.config())
    trials = bench.store.trials.read(bench.store.studies.get("s"))
    assert trials[0].failure.kind == "worker_died"
    assert [t.state for t in trials[1:]] == ["complete"] * 5


def test_a_study_of_which_nothing_works_stops_early_and_tries_its_baselines_again(bench):
    bench.pool.fails = True
    with pytest.raises(TrialError, match=r"first 3 trials all failed.*no such luck") as caught:
        bench.run("s", 30, bench.config())
    assert caught.value.kind == "error"
    assert len(bench.told("s")) == 3

    bench.pool.fails = False
    bench.run("s", 12)
    bare = [state for _, text, _, state, _ in bench.told("s") if text == "test_resnet"]
    assert bare[0] == "failed"
    assert bare[-1] == "complete"
    complete = [text for _, text, _, state, _ in bench.told("s") if state == "complete"]
    assert complete[:5] == BASELINES


def test_optuna_reads_the_same_study_with_its_own_tools(bench):
    bench.run("s", 14, bench.config())
    study = optuna.load_study(study_name="s", storage=bench.store.url)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    told = bench.told("s")
    assert [t.values[0] for t in study.trials] == [accuracy for *_, accuracy in told]
    assert study.trials[7].user_attrs["architecture"] == told[7][1]
    figure = optuna.visualization.plot_pareto_front(study)
    assert figure.data


def test_a_crash_between_the_database_and_optuna_is_mended_at_resume(bench, monkeypatch):
    from attentune.search.run.propose import Proposer

    settle = Proposer.on_trial_end

    def crash(self, trial):
        if trial.number == 5:
            raise KeyboardInterrupt
        settle(self, trial)

    monkeypatch.setattr(Proposer, "on_trial_end", crash)
    with pytest.raises(KeyboardInterrupt):
        bench.run("s", 10, bench.config())
    monkeypatch.setattr(Proposer, "on_trial_end", settle)
    bench.run("s", 10)
    bench.run("whole", 10, bench.config())
    assert bench.told("s") == bench.told("whole")


def test_a_time_budget_is_a_total_over_all_resumes(bench):
    record = bench.run("s", 6, bench.config()).record
    bench.store.studies.set_spent_seconds(record, 100.0)
    bench.run("s", 50, budget=99.0)
    assert not bench.pool.started


def test_several_workers_never_run_one_architecture_with_one_seed_twice(bench):
    bench.pool.workers = 4
    bench.run("s", 30, bench.config(space=TINY))
    pairs = [(job.architecture.key, job.seed) for job in bench.pool.started]
    assert len(set(pairs)) == len(pairs) == 30


def test_a_trial_past_its_time_fails_as_timeout(bench, monkeypatch):
    from attentune.search.run import coordinator

    clock = iter(range(0, 10**6, 50))
    monkeypatch.setattr(coordinator.time, "monotonic", lambda: float(next(clock)))
    bench.run("s", 2, bench.config(recipe={"epochs": 50}), trial_timeout=500.0)
    trials = bench.store.trials.read(bench.store.studies.get("s"))
    assert {t.failure.kind for t in trials if t.failure} == {"timeout"}
