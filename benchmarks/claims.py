"""How often a confirmation claims what is not there, and finds what is; by simulation.

    python benchmarks/claims.py --json benchmarks/results/claims.json

A repetition is a whole study without training: 40 random architectures of a space of 56 and the
textbook baselines with one noisy trial each, then the finalists that `attentune confirm` would
choose and the baselines with five fresh seeds. Trials of one seed share some luck.

one network      all architectures are equally good: how often is any difference claimed?
one attention    SE is better than everything else by three standard errors of a difference between
                 two means of five seeds: how often is one of those with SE found to be better than
                 the bare backbone, and how often one without?
uneven noise     as the first, but architectures scatter differently (log-normal, deviation 0.5)
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from attentune.benchmarks.simulated_studies import NOW, make_trial_record
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.confirmation import (
    Confirmation,
    confirmation,
    finalists,
)
from attentune.studies.records import BASELINE, CONFIRM, SEARCH, StudyRecord, TrialRecord
from attentune.studies.stored_config import ConfirmPlan, StoredConfig

BARE = "net"
TEXTBOOK = (
    BARE,
    *(f"{BARE}+{a}@all.residual" for a in ("se(r=16)", "eca", "cbam(r=16)", "ca(r=32)")),
)
SPACE = tuple(
    f"{BARE}+{name}@{place}.residual"
    for name in ("se(r=4)", "se(r=8)", "eca", "cbam(r=4)", "cbam(r=8)", "ca(r=4)", "ca(r=8)")
    for place in ("s1", "s2", "s3", "s4", "s1-s2", "s2-s3", "s3-s4", "all")
)
TRIALS, TOP, SEEDS = 40, 3, 5
NOISE, LUCK = 0.01, 0.007
EFFECT = 3 * NOISE * math.sqrt(2 / SEEDS)
STUDY = StudyRecord(1, "simulated", "", NOW, "", BARE, ("accuracy",), StoredConfig({}), 0)


def simulated(
    rng: np.random.Generator,
    gain: Callable[[str], float] = lambda _: 0.0,
    *,
    unevenness: float = 0.0,
) -> Confirmation:
    """One study and its confirmation; `gain` is what an architecture truly gains, as a fraction."""
    chosen = [*TEXTBOOK, *(SPACE[i] for i in rng.permutation(len(SPACE))[: TRIALS - len(TEXTBOOK)])]
    noise = {text: NOISE * math.exp(unevenness * rng.normal()) for text in chosen}
    search = [
        _trial(i, text, 0, 0.7 + gain(text) + noise[text] * rng.normal())
        for i, text in enumerate(chosen)
    ]
    found = analyse(STUDY, search)
    texts = dict.fromkeys([*TEXTBOOK, *(str(p.architecture) for p in finalists(found, TOP))])
    luck = LUCK * rng.normal(size=SEEDS)
    confirming = [
        _trial(i, text, seed, 0.7 + gain(text) + luck[seed] + noise[text] * rng.normal(), CONFIRM)
        for i, text in enumerate(texts)
        for seed in range(SEEDS)
    ]
    plan = ConfirmPlan(tuple(texts), TOP, SEEDS, epochs=20, searched_epochs=8)
    return confirmation(found, confirming, plan)


def with_se(text: str) -> float:
    """The gain in a space where SE helps, wherever it is."""
    return EFFECT if "+se" in text else 0.0


def claims(found: Confirmation) -> int:
    """How many differences are claimed."""
    return len(found.better) + len(found.worse) + sum(p.claimed for p in found.pairs.values())


def _trial(
    number: int, text: str, seed: int, accuracy: float, role: str | None = None
) -> TrialRecord:
    role = role or (BASELINE if text in TEXTBOOK else SEARCH)
    return make_trial_record(
        number, parse(text), seed, role, accuracy=accuracy, epochs=8, params=1000
    )


def share(count: int, of: int) -> dict[str, float]:
    """A share with its standard error."""
    part = count / of
    return {"share": round(part, 4), "standard_error": round(math.sqrt(part * (1 - part) / of), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count = options.repetitions
    rng = np.random.default_rng(0)
    null = [claims(simulated(rng)) > 0 for _ in range(count)]
    uneven = [claims(simulated(rng, unevenness=0.5)) > 0 for _ in range(count)]
    better = [[str(c.architecture) for c in simulated(rng, with_se).better] for _ in range(count)]
    result = {
        "repetitions": count,
        "numpy": np.__version__,
        "settings": {"trials": TRIALS, "top": TOP, "seeds": SEEDS, "noise": NOISE, "luck": LUCK},
        "one network, any claim": share(sum(null), count),
        "uneven noise, any claim": share(sum(uneven), count),
        "one attention, found": share(sum(any("+se" in t for t in b) for b in better), count),
        "one attention, wrong": share(sum(any("+se" not in t for t in b) for b in better), count),
    }
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
