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
