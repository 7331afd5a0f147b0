"""What must be true of every sampler; one that is added to the registry is tested here too."""

from __future__ import annotations

import example_records
import pytest
from attentune.errors import SpaceError
from attentune.runners.results import EpochReport
from attentune.search.samplers import additive
from attentune.search.samplers.registry import SAMPLER_CLASSES
from attentune.spaces.architecture import parse
from attentune.spaces.search_space.space import Space, load_space
from attentune.studies.config import SAMPLERS
from attentune.studies.estimator import modelled_trials
from attentune.studies.records import SEARCH

every_sampler = pytest.mark.parametrize("sampler", SAMPLER_CLASSES)


def test_the_table_holds_the_names_that_the_setting_offers():
    assert set(SAMPLER_CLASSES) == set(SAMPLERS)
    assert len(set(SAMPLER_CLASSES.values())) == len(SAMPLER_CLASSES)


@pytest.mark.parametrize(
    "sampler",
    [
        # It fits a Gaussian process for every proposal.
        pytest.param(name, marks=[pytest.mark.slow] if name == "gp" else [])
        for name in SAMPLER_CLASSES
    ],
)
def test_a_search_equals_its_first_half_and_a_resume(bench, sampler):
    check_halves(bench, sampler, trials=24)


@pytest.mark.slow
@every_sampler
def test_forty_trials_equal_twenty_and_a_resume_of_twenty(bench, sampler):
    check_halves(bench, sampler, trials=40)


def test_a_model_that_is_kept_for_several_proposals_changes_nothing_on_a_resume(bench, monkeypatch):
    models: list[int] = []
    make = additive.CandidateModel

    def counted(histories, *arguments):
        models.append(len(histories))
        return make(histories, *arguments)

    monkeypatch.setattr(additive, "CandidateModel", counted)
    monkeypatch.setattr(additive, "MAX_TRIALS_WITH_NEW_MODEL", 8)
    monkeypatch.setattr(modelled_trials, "MAX_TRIALS_WITH_NEW_MODEL", 8)
    monkeypatch.setattr(modelled_trials, "PARTS_WITH_ONE_MODEL", 4)
    bench.run("whole", 23, bench.config(sampler="additive", seed=3))
    counts = [count for count in models if count > 9]
    assert counts == sorted({*counts} & {10, 12, 15, 16, 20})  # Each once, or for a baseline not.
    assert len(counts) >= 4
    bench.run("halves", 14, bench.config(sampler="additive", seed=3))
    bench.run("halves", 23)
    assert bench.rows("halves") == bench.rows("whole")


def check_halves(bench, sampler: str, trials: int) -> None:
    bench.run("whole", trials, bench.config(sampler=sampler, seed=3))
    bench.run("halves", trials // 2, bench.config(sampler=sampler, seed=3))
    bench.run("halves", trials)
    assert bench.rows("halves") == bench.rows("whole")
    assert len(bench.rows("whole")) == trials


@every_sampler
def test_with_several_objectives_it_proposes_architectures_of_the_space(bench, sampler):
    objectives = ("accuracy", "params", "macs")
    proposer = bench.run("s", 20, bench.config(sampler=sampler, objectives=objectives)).trial_source
    searched = [t for t in bench.store.trials.read("s") if t.role == SEARCH]
    assert len(searched) >= 12  # a repeated architecture brings its baseline
    for trial in searched:
        assert proposer.space.selection_of(parse(trial.architecture)) is not None


@every_sampler
def test_nothing_above_a_limit_is_trained(bench, sampler):
    limit = 385_000
    bench.run("s", 16, bench.config(sampler=sampler, limits={"params": limit}))
    assert len(bench.pool.started) == 16
    assert max(job.costs.params for job in bench.pool.started) <= limit


@pytest.mark.slow
@every_sampler
def test_a_space_of_10_to_the_26_architectures_is_searched_or_refused(bench, sampler):
    config = bench.config(sampler=sampler, backbone="resnet101", space=load_space("where"))
    if sampler == "grid":
        with pytest.raises(SpaceError, match=r"a grid over 3\.3e26 architectures is too large"):
            bench.run("s", 16, config)
        return
    bench.run("s", 16, config)
    assert [state for *_, state, _ in bench.rows("s")] == ["complete"] * 16


@every_sampler
def test_another_seed_proposes_other_architectures(bench, sampler):
    bench.run("a", 15, bench.config(sampler=sampler, seed=1))
    bench.run("b", 15, bench.config(sampler=sampler, seed=2))
    architectures = [{text for _, text, *_ in bench.rows(name)} for name in "ab"]
    assert len(architectures[0] ^ architectures[1]) > 5


@every_sampler
def test_what_has_not_completed_changes_no_proposal(bench, sampler):
    """Nor does a selection that was computed in advance for something that did not happen."""
    proposer = bench.run("s", 15, bench.config(sampler=sampler)).trial_source
    job = bench.pool.started[-1]
    proposer.sampler.ask_ahead(15, job, 0.999)
    proposer.sampler.on_epoch(99, EpochReport(2, 1.0, 0.999, 1.0, 0.1, 0.5))
    failed = example_records.trial(98, str(job.architecture), state="failed")
    proposer.sampler.on_trial_end(failed)
    restarted = bench.proposer("s")
    proposals = [proposer.next_trial() for _ in range(3)]
    assert proposals == [restarted.next_trial() for _ in range(3)]


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(name, marks=[] if name in ("additive", "tpe", "grid") else [pytest.mark.slow])
        for name in SAMPLER_CLASSES
        if name != "random"
    ],
)
def test_it_proposes_something_else_than_random_search(bench, sampler):
    # Textbook baselines are outside this space, so their trials have no parameters.
    space = Space.of(attentions=("none", "se", "eca"), ratios=(4,), granularity="stage")
    bench.run("random", 45, bench.config(sampler="random", space=space))
    bench.run("guided", 45, bench.config(sampler=sampler, space=space))
    by_chance, guided = (
        [(text, seed) for _, text, seed, *_ in bench.rows(name)] for name in ("random", "guided")
    )
    assert by_chance[:5] == guided[:5]
    assert len(set(by_chance) ^ set(guided)) > 5
