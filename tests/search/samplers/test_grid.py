"""Grid search: everything once, then again."""

from __future__ import annotations

from attentune.spaces.search_space.space import Space

TINY = Space.of(attentions=("none", "se", "eca"), ratios=(4, 8), granularity="network")


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


def test_repetitions_go_round_and_leave_out_what_is_excluded(bench):
    config = bench.config(space=TINY, sampler="grid")
    proposer = bench.run("s", 12, config).trial_source
    sampler, history = proposer.sampler, proposer.history

    def next_architecture(number: int):
        architecture = proposer.space.architecture_of(sampler.select(number))
        assert sampler.select(number) == proposer.space.selection_of(architecture)  # Not taken yet.
        history.record_start(architecture.key, 100 + number)
        return architecture

    space = map(proposer.space.architecture_at, range(proposer.space.count()))
    counts = {a.key: len(history.seeds[a.key]) for a in space}
    for number in range(12):
        chosen = next_architecture(number)
        assert counts[chosen.key] == min(counts.values())
        counts[chosen.key] += 1
    rejected = next_architecture(12)
    history.record_rejection(rejected.key, 112, "it is too large")
    assert rejected not in [next_architecture(number) for number in range(13, 25)]
