"""Simulate how often a confirmation claims differences that exist, and that do not exist.

    python benchmarks/claims.py --json benchmarks/results/claims.json

This is a simulation without training. A repetition is a whole study: 40 random architectures of a
space of 56 and the textbook baselines with one noisy trial each, then the finalists that
`attentune confirm` would choose and the baselines with five fresh seeds. Trials of one seed share a
seed effect.

one network      all architectures are equally accurate; counts repetitions that claim a difference
one attention    SE is better than everything else by three standard errors of a difference between
                 two means of five seeds; counts repetitions in which an architecture with SE, and
                 in which one without, is claimed to be better than the bare backbone
uneven noise     as `one network`, but the noise differs between architectures (log-normal, with a
                 standard deviation of 0.5)

The result states the repetitions, all settings and the standard errors.
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
    analyse_confirming_trials,
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
NOISE, SEED_EFFECT = 0.01, 0.007
"""Standard deviations of a trial's noise and of the seed effects, as fractions."""
GAIN = 3 * NOISE * math.sqrt(2 / SEEDS)
STUDY = StudyRecord(1, "simulated", "", NOW, "", BARE, ("accuracy",), StoredConfig({}), 0)


def simulate_confirmation(
    rng: np.random.Generator,
    gain: Callable[[str], float] = lambda _: 0.0,
    *,
    unevenness: float = 0.0,
) -> Confirmation:
    """Simulate one study and its confirmation.

    Args:
        rng: generates all random numbers.
        gain: true gain of an architecture in accuracy, as a fraction.
        unevenness: standard deviation of the logarithm of the noise over the architectures.
    """
    chosen = [*TEXTBOOK, *(SPACE[i] for i in rng.permutation(len(SPACE))[: TRIALS - len(TEXTBOOK)])]
    noise = {text: NOISE * math.exp(unevenness * rng.normal()) for text in chosen}
    search = [
        _make_trial(i, text, 0, 0.7 + gain(text) + noise[text] * rng.normal())
        for i, text in enumerate(chosen)
    ]
    analysis = analyse(STUDY, search)
    texts = dict.fromkeys([*TEXTBOOK, *(str(p.architecture) for p in finalists(analysis, TOP))])
    seed_effects = SEED_EFFECT * rng.normal(size=SEEDS)
    confirming = [
        _make_trial(
            i,
            text,
            seed,
            0.7 + gain(text) + seed_effects[seed] + noise[text] * rng.normal(),
            CONFIRM,
        )
        for i, text in enumerate(texts)
        for seed in range(SEEDS)
    ]
    plan = ConfirmPlan(tuple(texts), TOP, SEEDS, epochs=20, searched_epochs=8)
    return analyse_confirming_trials(analysis, confirming, plan)


def gain_of_se(text: str) -> float:
    """The true gain where only SE helps, at all sites alike."""
    return GAIN if "+se" in text else 0.0


def count_claims(result: Confirmation) -> int:
    """The number of differences that a confirmation claims."""
    return len(result.better) + len(result.worse) + sum(p.claimed for p in result.pairs.values())


def _make_trial(
    number: int, text: str, seed: int, accuracy: float, role: str | None = None
) -> TrialRecord:
    role = role or (BASELINE if text in TEXTBOOK else SEARCH)
    return make_trial_record(
        number, parse(text), seed, role, accuracy=accuracy, epochs=8, params=1000
    )


def share_of(count: int, total: int) -> dict[str, float]:
    """A share with its standard error."""
    share = count / total
    return {
        "share": round(share, 4),
        "standard_error": round(math.sqrt(share * (1 - share) / total), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    count = options.repetitions
    rng = np.random.default_rng(0)
    null = [count_claims(simulate_confirmation(rng)) > 0 for _ in range(count)]
    uneven = [count_claims(simulate_confirmation(rng, unevenness=0.5)) > 0 for _ in range(count)]
    better = [
        [str(c.architecture) for c in simulate_confirmation(rng, gain_of_se).better]
        for _ in range(count)
    ]
    result = {
        "repetitions": count,
        "numpy": np.__version__,
        "settings": {
            "trials": TRIALS,
            "top": TOP,
            "seeds": SEEDS,
            "noise": NOISE,
            "luck": SEED_EFFECT,
        },
        "one network, any claim": share_of(sum(null), count),
        "uneven noise, any claim": share_of(sum(uneven), count),
        "one attention, found": share_of(sum(any("+se" in t for t in b) for b in better), count),
        "one attention, wrong": share_of(
            sum(any("+se" not in t for t in b) for b in better), count
        ),
    }
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
