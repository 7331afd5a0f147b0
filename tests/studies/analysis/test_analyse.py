"""The numbers: fronts, knees, gains and tables against brute force and cases worked by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.analysis import analyse
from attentune.studies.database.store import Store
from attentune.studies.objectives import OBJECTIVES, Objective
from attentune.studies.records import BASELINE, CONFIRM, StudyRecord, TrialRecord
from example_records import BARE, study, trial

ACCURACY, PARAMS, LATENCY = (OBJECTIVES[name] for name in ("accuracy", "params", "latency"))


def se(r: int, place: str = "all") -> str:
    return f"{BARE}+se(r={r})@{place}.residual"


def numbers(points: Any) -> list[int]:
    return [point.number for point in points]


def test_a_gain_is_the_difference_that_stands_beside_it() -> None:
    trials = [
        trial(0, BARE, 0.60, seed=0),
        trial(1, BARE, 0.50, seed=1),
        trial(2, se(4), 0.65, seed=0),
        trial(3, se(4), 0.57, seed=1),
        trial(4, se(4), 0.62, seed=2),
        trial(5, se(8), 0.60, seed=9),
    ]
    points = {p.number: p for p in analyse.analyse(study(), trials).architectures}
    bare, repeated, once = points[0], points[2], points[5]
    assert (bare.gain, bare.gain_error) == (None, None)
    for point in (repeated, once):
        assert point.gain == point.score - bare.score
        assert point.gain_error is not None
    assert repeated.scores == (0.65, 0.57, 0.62)
    assert repeated.gain is not None
    assert repeated.gain > 0
    assert once.gain_error > repeated.gain_error


def test_the_errors_of_paired_trials_leave_out_what_their_seeds_share() -> None:
    effects = (-0.06, 0.06, -0.03, 0.03, -0.05, 0.05)
    trials = [trial(i, BARE, 0.6 + e, seed=i) for i, e in enumerate(effects)]
    trials += [trial(10 + i, se(4), 0.63 + e, seed=i) for i, e in enumerate(effects)]
    findings = analyse.analyse(study(), trials)
    [_, point] = findings.architectures
    assert point.gain == pytest.approx(0.03, abs=0.004)
    assert point.gain_error < 0.01 < point.standard_error
    assert findings.noise is not None
    assert findings.noise.shared > 2 * findings.noise.deviation


def test_the_noise_is_that_of_what_ran_more_than_once() -> None:
    assert analyse.analyse(study(), []).noise is None
    once = analyse.analyse(study(), [trial(0, BARE, 0.6)]).noise
    assert once is not None
    assert once.repeats == 0
    rng = np.random.default_rng(0)
    trials = [
        trial(100 * i + seed, text, 0.6 + 0.03 * rng.standard_normal(), seed=100 * i + seed)
        for i, text in enumerate((BARE, se(4), se(8)))
        for seed in range(20)
    ]
    noise = analyse.analyse(study(), trials).noise
    assert noise is not None
    assert math.hypot(noise.deviation, noise.shared) == pytest.approx(0.03, rel=0.25)
    assert noise.repeats == 57


def test_confirming_trials_do_not_mix_with_the_search() -> None:
    trials = [trial(0, se(4), 0.6), trial(1, se(4), 0.9, seed=5, role=CONFIRM)]
    [point] = analyse.analyse(study(), trials).architectures
    assert point.numbers == (0,)


@pytest.mark.parametrize(
    ("text", "main"),
    [
        (BARE, "none"),
        (se(4), "se"),
        (f"{BARE}+se(r=4)@s1-s2.residual+eca@s3.mid", "se"),
        (f"{BARE}+se(r=4)@s1.residual+eca@s3.mid", "mixed"),
    ],
)
def test_an_architecture_is_coloured_by_the_attention_of_most_stages(text: str, main: str) -> None:
    assert analyse.main_attention(parse(text), 4) == main


def test_failures_are_grouped_by_kind_and_message() -> None:
    def failed(number: int, kind: Any, message: str) -> TrialRecord:
        return trial(number, BARE, state="failed", failure=Failure(kind, message))

    trials = [
        failed(0, "diverged", "NaN"),
        failed(1, "out_of_memory", "batch 128"),
        failed(2, "out_of_memory", "batch 64"),
        failed(3, "out_of_memory", "batch 64"),
    ]
    memory, diverged = analyse.group_failures(trials)
    assert (memory.kind, memory.count) == ("out_of_memory", 3)
    assert list(memory.messages.items()) == [("batch 64", (2, 3)), ("batch 128", (1,))]
    assert diverged.count == 1


Add = Callable[..., int]


def test_show_json_keeps_its_contract(store: Store, study: StudyRecord, add: Add) -> None:
    add("resnet18", 0.6, 100, role=BASELINE)
    add("resnet18+eca@all.mid", 0.7, 110, latency_ms=8.5)
    add("resnet18+eca@all.mid", 0.72, 110, seed=1)
    add("resnet18+se(r=4)@all.mid", 0.65, 150)
    running = add("resnet18+se(r=8)@all.mid")
    failed = add("resnet18+se(r=16)@all.mid")
    store.trials.fail(study, failed, Failure("diverged", "the loss is NaN", "Traceback"))
    shown = analyse.show_json(study, store.trials.read(study), rejected=2)
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert shown["study"] == "first"
    assert shown["directions"] == {"accuracy": "maximize", "params": "minimize"}
    assert shown["counts"] == {"complete": 4, "pruned": 0, "failed": 1, "running": 1}
    assert (shown["pareto"], shown["baseline"], shown["rejected"]) == ([0, 1], 0, 2)
    bare, repeated, se = shown["architectures"]
    assert (bare["architecture"], bare["gain"], bare["gain_error"]) == ("resnet18", None, None)
    assert repeated["architecture"] == "resnet18+eca@all.mid"
    assert repeated["gain"] == repeated["accuracy"] - bare["accuracy"]
    assert repeated["gain"] > 2 * repeated["gain_error"] > 0
    assert repeated["measured"] == [0.7, 0.72]
    assert [each["front"] for each in (bare, repeated, se)] == [True, True, False]
    assert repeated["key"] == parse("resnet18+eca@all.mid").key
    assert (repeated["number"], repeated["seeds"]) == (1, [0, 1])
    assert repeated["accuracy"] == pytest.approx(0.71, abs=0.015)
    assert 0 < repeated["standard_error"] < 0.03
    first, second = shown["trials"][:2]
    assert first == {
        "number": 0,
        "state": "complete",
        "role": "baseline",
        "architecture": "resnet18",
        "key": parse("resnet18").key,
        "seed": 0,
        "epochs": 8,
        "values": {"accuracy": 0.6, "params": 100, "macs": 1_820_000_000},
        "failure": None,
        "seconds": 20.0,
    }
    assert isinstance(first["values"]["params"], int)
    assert second["values"]["latency_ms"] == 8.5
    assert shown["trials"][running]["values"] == {}
    assert shown["trials"][failed]["failure"] == {"kind": "diverged", "message": "the loss is NaN"}


def test_show_json_names_directions_by_the_keys_of_values() -> None:
    shown = analyse.show_json(study("accuracy", "latency", "memory"), [])
    assert list(shown["directions"]) == ["accuracy", "latency_ms", "memory_mib"]
    assert (shown["pareto"], shown["baseline"], shown["trials"]) == ([], None, [])


def test_costs_without_an_objective_fall_back_to_parameters() -> None:
    def costs(*names: str) -> tuple[Objective, ...]:
        return analyse.analyse(study(*names), []).costs

    assert costs("accuracy") == (PARAMS,)
    assert costs("accuracy", "latency") == (LATENCY,)
