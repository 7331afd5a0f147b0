"""Simulate how often a confirmation claims differences that exist, and that do not exist.

    python benchmarks/claims.py --json benchmarks/results/claims.json

This is a simulation without training. A search has 40 random architectures of a space of
56 and the textbook baselines, with one noisy trial each. A repetition is a confirmation of one:
the finalists that `attentune confirm` would choose and the baselines with five fresh seeds, judged
on test images that are drawn anew. A network judges an image correctly if

    ability + difficulty[image] + affinity[architecture, image] + noise[trial] + noise[trial, image]

is above zero, all normal (a crossed probit model). So architectures that are equally good in the
long run differ on 500 images, however many seeds there are. Trials of one seed share a seed effect.

one network      all architectures are equally accurate; counts repetitions that claim a difference
one attention    SE is better than everything else by three standard errors of a difference, over
                 seeds and images; counts repetitions in which an architecture with SE, and in which
                 one without, is claimed to be better than the bare backbone
uneven noise     as `one network`, but the noise of a trial differs between architectures
                 (log-normal, with a standard deviation of 0.5)

Each is repeated with the predictions of every trial, without them (the sampling error is then that
of independent networks), and with nothing known of the images (which is what older versions did).
`one network` is repeated with few images, with few seeds and over several splits, whose training
sets overlap. `coverage` is the share of 95 % intervals that contain the true difference.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import scipy.special
import torch
from attentune.benchmarks.simulated_studies import NOW, make_trial_record
from attentune.runners.environment import describe_environment
from attentune.runners.image_scores import JudgedImages
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.confirmation import (
    Confirmation,
    analyse_confirming_trials,
    finalists,
)
from attentune.studies.analysis.findings import Findings
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
TRIALS, TOP = 40, 3
CONFIRMATIONS_PER_SEARCH = 4
"""Confirmations of one search have new seeds and new images, and take less time than a search."""
ACCURACY, SEARCH_NOISE = 0.85, 0.012
"""Of every architecture, and the standard deviation of a trial of the search, as fractions."""
SEED_EFFECT = 0.1
"""Standard deviation of what all trials of a seed share, in the model's unit."""
SPLIT_NOISE = 0.1
"""Standard deviation of what the training images of a split do to an architecture."""
TEST_SHARE, TRAIN_SHARE = 0.2, 0.64
"""Shares of all images in the test and the training images of a split."""
STUDY = StudyRecord(1, "simulated", "", NOW, "", BARE, ("accuracy",), StoredConfig({}), 0)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ConfirmationSetting:
    """A kind of confirmation.

    Attributes:
        seeds, images, splits: of the confirmation; images of one test split.
        difficulty, affinity, noise: standard deviations over images, over images within an
            architecture, and over trials; that over trials and images is 1.
        unevenness: standard deviation of the logarithm of `noise` over the architectures.
        known: what is known of the test images: which of them each trial judges correctly, only
            their number, or nothing.
    """

    seeds: int = 5
    images: int = 500
    splits: int = 1
    difficulty: float = 3.0
    affinity: float = 1.0
    noise: float = 0.15
    unevenness: float = 0.0
    known: Literal["predictions", "number", "nothing"] = "predictions"

    def ability(self, accuracy: float, noise: float) -> float:
        """The ability that leads to an accuracy in the long run, over seeds and images."""
        of_split = SPLIT_NOISE if self.splits > 1 else 0.0
        deviation = math.hypot(self.difficulty, self.affinity, noise, SEED_EFFECT, of_split, 1.0)
        return float(scipy.special.ndtri(accuracy)) * deviation


@dataclass
class SimulatedImages:
    """The images of a repetition, and how hard they are.

    Attributes:
        setting: the kind of confirmation.
        rng: generates all random numbers.
        difficulty: (images,) of all splits together.
        splits: the test images and the training images of each split.
        seed_effects: by seed.
    """

    setting: ConfirmationSetting
    rng: np.random.Generator
    difficulty: Floats = field(init=False)
    splits: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = field(init=False)
    seed_effects: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        setting, rng = self.setting, self.rng
        count = setting.images if setting.splits == 1 else round(setting.images / TEST_SHARE)
        self.difficulty = setting.difficulty * rng.normal(size=count)
        orders = [rng.permutation(count) for _ in range(setting.splits)]
        last = setting.images + round(TRAIN_SHARE * count)
        self.splits = [(o[: setting.images], o[setting.images : last]) for o in orders]

    def judge(self, accuracy: float, seeds: Mapping[int, list[int]]) -> dict[int, npt.NDArray[Any]]:
        """Which test images the trials of an architecture judge correctly, by seed.

        Args:
            accuracy: of the architecture in the long run.
            seeds: of each split.
        """
        setting, rng = self.setting, self.rng
        noise = setting.noise * math.exp(setting.unevenness * rng.normal())
        scores = setting.ability(accuracy, noise) + self.difficulty
        scores = scores + setting.affinity * rng.normal(size=len(self.difficulty))
        lessons = SPLIT_NOISE * rng.normal(size=len(self.difficulty))
        correct = {}
        for split, (test, train) in enumerate(self.splits):
            learned = float(lessons[train].sum() / math.sqrt(max(1, len(train))))
            for seed in seeds[split]:
                shared = self.seed_effects.setdefault(seed, SEED_EFFECT * rng.normal())
                trial = noise * rng.normal() + shared + learned
                correct[seed] = scores[test] + trial + rng.normal(size=len(test)) > 0
        return correct


def simulate_search(
    rng: np.random.Generator, gain: Callable[[str], float] = lambda _: 0.0
) -> Findings:
    """Simulate a search.

    Args:
        rng: generates all random numbers.
        gain: true gain of an architecture in accuracy, as a fraction.
    """
    chosen = [*TEXTBOOK, *(SPACE[i] for i in rng.permutation(len(SPACE))[: TRIALS - len(TEXTBOOK)])]
    search = [
        _make_trial(i, text, 0, ACCURACY + gain(text) + SEARCH_NOISE * rng.normal())
        for i, text in enumerate(chosen)
    ]
    return analyse(STUDY, search)


def simulate_confirmations(
    count: int,
    rng: np.random.Generator,
    gain: Callable[[str], float] = lambda _: 0.0,
    setting: ConfirmationSetting = ConfirmationSetting(),  # It is frozen.
) -> Iterator[Confirmation]:
    """Simulate searches, and for each of them `CONFIRMATIONS_PER_SEARCH` confirmations.

    Args:
        count: the number of confirmations.
        rng: generates all random numbers.
        gain: true gain of an architecture in accuracy, as a fraction.
        setting: the kind of confirmation.
    """
    for number in range(count):
        if number % CONFIRMATIONS_PER_SEARCH == 0:
            findings = simulate_search(rng, gain)
        yield simulate_confirmation(findings, rng, gain, setting)


def simulate_confirmation(
    findings: Findings,
    rng: np.random.Generator,
    gain: Callable[[str], float],
    setting: ConfirmationSetting,
) -> Confirmation:
    """Simulate one confirmation.

    Args:
        findings: of the search.
        rng: generates all random numbers.
        gain: true gain of an architecture in accuracy, as a fraction.
        setting: the kind of confirmation.
    """
    texts = dict.fromkeys([*TEXTBOOK, *(str(p.architecture) for p in finalists(findings, TOP))])
    known = setting.known != "nothing"
    train = round(setting.images * TRAIN_SHARE / TEST_SHARE)
    plan = ConfirmPlan(
        tuple(texts),
        TOP,
        setting.seeds,
        epochs=20,
        searched_epochs=8,
        splits=setting.splits,
        train_images=train if known else None,
        test_images=setting.images if known else None,
    )
    seeds = {
        split: [plan.seed_of(split, number) for number in range(setting.seeds)]
        for split in range(setting.splits)
    }
    images = SimulatedImages(setting, rng)
    confirming: list[TrialRecord] = []
    correct = {}
    for text in texts:
        for seed, judged in images.judge(ACCURACY + gain(text), seeds).items():
            correct[len(confirming)] = JudgedImages.of_correct(judged)
            # Without a number of images it must not be possible to infer it from the accuracy.
            accuracy = float(judged.mean()) + (0.0 if known else 1e-9 * rng.normal())
            confirming.append(_make_trial(len(confirming), text, seed, accuracy, CONFIRM))
    kept = correct if setting.known == "predictions" else {}
    return analyse_confirming_trials(findings, confirming, plan, kept)


def true_standard_error(setting: ConfirmationSetting, repetitions: int = 3000) -> float:
    """The standard deviation of the difference of two equally good architectures, a fraction."""
    rng = np.random.default_rng(1)
    seeds = {0: list(range(setting.seeds))}
    differences = []
    for _ in range(repetitions):
        images = SimulatedImages(setting, rng)
        first, second = (np.mean([*images.judge(ACCURACY, seeds).values()]) for _ in range(2))
        differences.append(first - second)
    return float(np.std(differences))


GAIN = 3 * 0.0118
"""Three standard errors of a difference in the usual setting (`true_standard_error`)."""


def gain_of_se(text: str) -> float:
    """The true gain where only SE helps, at all sites alike."""
    return GAIN if "+se" in text else 0.0


def count_claims(result: Confirmation) -> int:
    """The number of differences that a confirmation claims."""
    return len(result.better) + len(result.worse) + sum(p.claimed for p in result.pairs.values())


_parse = lru_cache(parse)


def _make_trial(
    number: int, text: str, seed: int, accuracy: float, role: str | None = None
) -> TrialRecord:
    role = role or (BASELINE if text in TEXTBOOK else SEARCH)
    return make_trial_record(
        number, _parse(text), seed, role, accuracy=accuracy, epochs=8, params=1000
    )


def share_of(count: int, total: int) -> dict[str, float]:
    """A share with its standard error."""
    share = count / total
    return {
        "share": round(share, 4),
        "standard_error": round(math.sqrt(share * (1 - share) / total), 4),
    }


def count_repetitions(results: Iterable[Confirmation]) -> dict[str, Any]:
    """How many repetitions claim a difference where there is none, and how many intervals hold."""
    claims, inside = [], []
    for result in results:
        claims.append(count_claims(result) > 0)
        gains = [c.gain for c in result.challengers if c.gain is not None]
        inside += [gain.low <= 0 <= gain.high for gain in gains]
    return {
        "any claim": share_of(sum(claims), len(claims)),
        "coverage": round(sum(inside) / len(inside), 4),
    }


USUAL = ConfirmationSetting()
NULL_SETTINGS = {
    "predictions kept": USUAL,
    "predictions not kept": replace(USUAL, known="number"),
    "images ignored": replace(USUAL, known="nothing"),
    "uneven noise": replace(USUAL, unevenness=0.5),
    "100 images": replace(USUAL, images=100),
    "29 images": replace(USUAL, images=29),
    "5000 images": replace(USUAL, images=5000),
    "2 seeds": replace(USUAL, seeds=2),
    "10 seeds": replace(USUAL, seeds=10),
    "noisy trials": replace(USUAL, noise=0.6),
    "quiet trials": replace(USUAL, noise=0.0),
    "5 splits, 2 seeds each": replace(USUAL, splits=5, seeds=2),
    "2 splits, 3 seeds each": replace(USUAL, splits=2, seeds=3),
}
POWER_SETTINGS = {
    name: NULL_SETTINGS[name] for name in ("predictions kept", "predictions not kept")
}


def simulate_null(count: int) -> dict[str, Any]:
    """How often confirmations of equally good architectures claim a difference, by setting."""
    rows = {}
    for name, setting in NULL_SETTINGS.items():
        results = simulate_confirmations(count, np.random.default_rng(0), setting=setting)
        rows[name] = {**vars(setting), **count_repetitions(results)}
        print(name, rows[name], flush=True)
    return rows


def simulate_power(count: int) -> dict[str, Any]:
    """How often a true gain of three standard errors is claimed, by setting."""
    rows = {}
    for name, setting in POWER_SETTINGS.items():
        rng = np.random.default_rng(0)
        better = [
            [str(c.architecture) for c in result.better]
            for result in simulate_confirmations(count, rng, gain_of_se, setting)
        ]
        rows[name] = {
            "found": share_of(sum(any("+se" in t for t in b) for b in better), count),
            "wrong": share_of(sum(any("+se" not in t for t in b) for b in better), count),
        }
        print(name, rows[name], flush=True)
    return rows


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "one network": simulate_null,
    "one attention": simulate_power,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--only", choices=PARTS, help="keep the other part of the result as it is")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {
        "repetitions": options.repetitions,
        "environment": describe_environment(torch.device("cpu"), "float32"),
        "settings": {"trials": TRIALS, "top": TOP, "accuracy": ACCURACY, "gain": GAIN},
        "standard error": true_standard_error(USUAL),
    }
    earlier = json.loads(options.json.read_text("utf-8")) if options.only else {}
    for name, simulate in PARTS.items():
        is_left_out = options.only not in (None, name)
        result[name] = earlier[name] if is_left_out else simulate(options.repetitions)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
