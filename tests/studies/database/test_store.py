"""The contract of the store, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attentune.errors import StoreError, StudyError, UsageError
from attentune.runners.results import Costs, EpochReport, Failure, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.database.store import Store
from attentune.studies.records import BASELINE, StudyRecord

SE = parse("resnet18+se(r=16)@all.residual")
BARE = parse("resnet18")
Report = Callable[..., EpochReport]
Result = Callable[..., TrialResult]


def test_a_study_comes_back_as_it_was_created(store: Store) -> None:
    config = {"space": {"attentions": ["se", "eca"]}, "limits": {"params": 5e6}, "note": "größer ≤"}
    created = store.studies.create(
        "näme with spaces", backbone="resnet18", objectives=["accuracy"], config=config, seed=2**40
    )
    found = store.studies.get("näme with spaces")
    assert found == created
    assert (found.objectives, found.config.json, found.seed) == (("accuracy",), config, 2**40)
    assert abs((datetime.now(UTC) - found.created_at).total_seconds()) < 60
    assert store.studies.read_all() == [found]


@pytest.mark.parametrize("name", ["first", "first and last"])
def test_a_study_that_exists_is_not_made_again(store: Store, name: str) -> None:
    given = {"backbone": "r", "objectives": ("accuracy",), "config": {}, "seed": 0}
    store.studies.check_new(name)
    store.studies.create(name, **given)
    words = rf"exists already .* `attentune resume {re.escape(shlex.quote(name))}`"
    for again in (store.studies.check_new, lambda name: store.studies.create(name, **given)):
        with pytest.raises(StudyError, match=words):
            again(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "x" * 101,
        "x" * 300,
        "a/b",
        "a\\b",
        "<script>",
        "a\nb",
        "a\n",
        "a\0",
        ".a",
        " a",
        "-x",
    ],
)
def test_a_name_that_cannot_be_is_refused_with_what_can(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="1 to 100 letters, digits, spaces and"):
        store.studies.create(name, backbone="r", objectives=("accuracy",), config={}, seed=0)


@pytest.mark.parametrize("name", ["a", "x" * 100, "resnet18 r=4, v1.0", "a_b-c+d@e", "Größe 数"])
def test_ordinary_names_are_taken(store: Store, name: str) -> None:
    made = store.studies.create(name, backbone="r", objectives=("accuracy",), config={}, seed=0)
    assert made.name == name


def test_an_unknown_study_is_answered_with_the_closest(store: Store, study: StudyRecord) -> None:
    with pytest.raises(StudyError, match=r"no study 'frist' .*did you mean 'first'"):
        store.studies.get("frist")


def test_an_empty_database_says_how_to_start_a_study(store: Store) -> None:
    with pytest.raises(StudyError, match="no studies yet; start one with `attentune search"):
        store.studies.get("first")


def test_a_trial_lives_from_start_to_finish(
    store: Store, study: StudyRecord, epoch: Report, result: Result
) -> None:
    store.trials.start(study, 0, SE, seed=7, role=BASELINE, worker="w1")
    started = store.trials.get(study, 0)
    assert (started.state, started.epochs, started.accuracy, started.worker) == (
        "running",
        0,
        None,
        "w1",
    )
    assert started.values == {}
    store.trials.set_costs(
        study, 0, Costs(11_776_552, 1_820_000_000, latency_ms=8.5, latency_ratio=1.1)
    )
    store.epochs.record(study, 0, epoch(1, 0.4))
    store.epochs.record(study, 0, epoch(2, 0.5))
    assert store.trials.get(study, 0).epochs == 2
    store.trials.finish(study, 0, result(0.55, 11_776_552, latency_ms=8.5))
    [trial] = store.trials.read("first")
    assert (trial.architecture, trial.key, trial.seed) == (str(SE), SE.key, 7)
    assert (trial.state, trial.role, trial.epochs) == ("complete", "baseline", 8)
    assert trial.values == {
        "accuracy": 0.55,
        "params": 11_776_552,
        "macs": 1_820_000_000,
        "latency_ms": 8.5,
    }
    assert isinstance(trial.params, int)
    assert (trial.seconds, trial.device_seconds, trial.peak_memory_mib) == (20.0, 18.0, 512.0)
    assert (trial.cpu_load, trial.gpu_load) == (0.93, None)
    assert trial.finished_at is not None
    assert trial.finished_at >= trial.started_at
    facts = store.trials.read_environments(study)[str(trial.environment)]
    assert facts["device"] == "cpu (test)"


def test_trials_on_one_machine_share_one_environment(
    store: Store, study: StudyRecord, result: Result
) -> None:
    for number in range(3):
        store.trials.start(study, number, SE, seed=number)
        store.trials.finish(study, number, result())
    assert len(store.trials.read_environments(study)) == 1


def test_a_repeated_epoch_replaces_the_earlier_and_is_new_to_live_readers(
    store: Store, study: StudyRecord, epoch: Report
) -> None:
    store.trials.start(study, 0, SE, seed=0)
    store.epochs.record(study, 0, epoch(1, 0.3))
    store.epochs.record(study, 0, epoch(2, 0.4))
    bookmark = store.epochs.read(study)[-1].id
    assert store.epochs.read(study, after_id=bookmark) == []
    store.epochs.record(study, 0, epoch(2, 0.45))
    [new] = store.epochs.read(study, after_id=bookmark)
    assert (new.number, new.report.epoch, new.report.accuracy) == (0, 2, 0.45)
    assert [e.report.accuracy for e in store.epochs.read(study, 0)] == [0.3, 0.45]
    assert store.trials.get(study, 0).epochs == 2


def test_a_loss_that_is_not_a_number_is_kept_as_such(
    store: Store, study: StudyRecord, epoch: Report
) -> None:
    store.trials.start(study, 0, SE, seed=0)
    store.epochs.record(study, 0, epoch(1, 0.1, train_loss=math.nan, val_loss=math.inf))
    [found] = store.epochs.read(study)
    assert math.isnan(found.report.train_loss)
    assert found.report.val_loss == math.inf


@pytest.mark.parametrize("accuracy", [math.nan, math.inf, -0.1, 55.0])
def test_an_accuracy_that_is_no_fraction_never_completes(
    store: Store, study: StudyRecord, result: Result, accuracy: float
) -> None:
    store.trials.start(study, 0, SE, seed=0)
    with pytest.raises(StoreError, match="no fraction"):
        store.trials.finish(study, 0, result(accuracy))
    assert store.trials.get(study, 0).state == "running"


def test_a_pruned_trial_keeps_its_last_accuracy_and_why(
    store: Store, study: StudyRecord, epoch: Report
) -> None:
    store.trials.start(study, 0, SE, seed=0)
    store.epochs.record(study, 0, epoch(1, 0.3))
    store.epochs.record(study, 0, epoch(2, 0.35))
    store.trials.prune(study, 0, "below its peers")
    trial = store.trials.get(study, 0)
    assert (trial.state, trial.accuracy, trial.note) == ("pruned", 0.35, "below its peers")
    assert trial.seconds == 4.0, "the time of its epochs"


def test_an_alternative_runs_once_with_each_seed_beside_the_bare_backbone(
    store: Store, study: StudyRecord, result: Result
) -> None:
    bare, role = parse("resnet18"), "alternative:epochs"
    store.trials.start(study, 0, bare, seed=0)
    store.trials.start(study, 2_000_000, bare, seed=0, role=role)
    store.trials.start(study, 2_000_001, bare, seed=0, role="alternative:images")
    with pytest.raises(StudyError, match="has run with seed 0 already"):
        store.trials.start(study, 2_000_002, bare, seed=0, role=role)
    with pytest.raises(StudyError, match="has run with seed 0 already"):
        store.trials.start(study, 1, bare, seed=0)
    store.trials.finish(study, 2_000_000, result())
    store.trials.start(study, 3_000_000, bare, seed=0, role="confirm:epochs")
    assert [t.number for t in store.trials.read(study)] == [0]
    assert store.trials.read(study, confirming=True) == []
    assert [t.number for t in store.trials.read_alternatives(study)] == [2_000_000, 2_000_001]
    confirming = store.trials.read_alternatives(study, confirming=True)
    assert [(t.number, t.alternative, t.confirms) for t in confirming] == [
        (3_000_000, "epochs", True)
    ]
    assert len(store.trials.read_outside_search(study)) == 3
    assert sum(store.studies.summarize()[0].counts.values()) == 1


def test_a_failed_trial_may_be_tried_again_and_a_finished_one_may_not(
    store: Store, study: StudyRecord, result: Result
) -> None:
    failure = Failure("out_of_memory", "the device has no memory left", "Traceback …")
    for number in (0, 1):
        store.trials.start(study, number, SE, seed=0)
        store.trials.fail(study, number, failure)
    store.trials.start(study, 2, SE, seed=0)
    with pytest.raises(StudyError, match="has run with seed 0 already"):
        store.trials.start(study, 3, SE, seed=0)
    store.trials.finish(study, 2, result())
    with pytest.raises(StudyError, match="has run with seed 0 already"):
        store.trials.start(study, 3, SE, seed=0)
    store.trials.start(study, 3, SE, seed=1)
    assert [t.state for t in store.trials.read(study)] == [
        "failed",
        "failed",
        "complete",
        "running",
    ]
    assert store.trials.get(study, 1).failure == failure
    assert [t.number for t in store.trials.read(study, state="failed")] == [0, 1]


def test_a_trial_ends_only_once(store: Store, study: StudyRecord, result: Result) -> None:
    store.trials.start(study, 0, SE, seed=0)
    store.trials.finish(study, 0, result(0.5))
    with pytest.raises(StudyError, match="trial 0 of 'first' is complete already"):
        store.trials.fail(study, 0, Failure("error", "late"))
    with pytest.raises(StudyError, match="trial 5 of 'first' was never started"):
        store.trials.finish(study, 5, result())
    assert store.trials.get(study, 0).accuracy == 0.5


def test_a_number_is_used_once(store: Store, study: StudyRecord) -> None:
    store.trials.start(study, 0, SE, seed=0)
    with pytest.raises(StudyError, match="its number is taken"):
        store.trials.start(study, 0, BARE, seed=0)


def test_an_unknown_trial_names_the_known_ones(store: Store, study: StudyRecord) -> None:
    with pytest.raises(StudyError, match="no trial 3; it has none yet"):
        store.trials.get(study, 3)
    store.trials.start(study, 0, SE, seed=0)
    with pytest.raises(StudyError, match="no trial 3; its trials are 0 to 0"):
        store.trials.get(study, 3)


def test_a_rejection_withdraws_the_trial_that_was_started_to_be_measured(
    store: Store, study: StudyRecord
) -> None:
    store.trials.start(study, 4, SE, seed=0)
    store.trials.reject(study, SE, "latency is 9 ms, above the limit of 8", number=4)
    store.trials.reject(study, BARE, "params")
    first, second = store.trials.read_rejections(study)
    assert (first.architecture, first.number, second.number) == (str(SE), 4, None)
    assert "latency" in first.reason
    assert store.trials.read(study) == []
    store.trials.start(study, 5, SE, seed=0)


def test_time_adds_up_over_resumes(store: Store, study: StudyRecord) -> None:
    assert store.studies.spent_seconds(study) == 0
    store.studies.set_spent_seconds(study, 12.5)
    assert store.studies.spent_seconds("first") == 12.5
    store.trials.start(study, 0, SE, seed=0)
    store.trials.add_seconds(study, 0, 3.0)
    store.trials.add_seconds(study, 0, 4.5)
    assert store.trials.get(study, 0).seconds == 7.5


def test_studies_are_summed_up_for_the_list(
    store: Store, study: StudyRecord, result: Result
) -> None:
    store.studies.create("idle", backbone="vgg11", objectives=("accuracy",), config={}, seed=0)
    for number, accuracy in enumerate((0.4, 0.6)):
        store.trials.start(study, number, SE, seed=number)
        store.trials.finish(study, number, result(accuracy))
    store.trials.start(study, 2, SE, seed=2)
    first, idle = store.studies.summarize()
    assert first.counts == {"complete": 2, "pruned": 0, "failed": 0, "running": 1}
    assert first.last_activity > idle.last_activity == idle.study.created_at


def test_a_config_can_be_changed(store: Store, study: StudyRecord) -> None:
    changed = store.studies.change_config(study, lambda _: {"trials": 80, "plan": {"a": 1}})
    assert changed.config.json == {"trials": 80, "plan": {"a": 1}}
    changed = store.studies.change_config(study, lambda config: {**config, "trials": 90})
    assert store.studies.get("first").config.json == {"trials": 90, "plan": {"a": 1}}
    store.delete_study("first")
    with pytest.raises(StudyError, match="'first' has been removed"):
        store.studies.change_config(changed, lambda config: config)


def test_a_removed_study_is_removed_with_all_of_its_rows(
    store: Store, study: StudyRecord, epoch: Report, result: Result
) -> None:
    other = store.studies.create(
        "other", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    for each in (study, other):
        store.trials.start(each, 0, SE, seed=0)
        store.epochs.record(each, 0, epoch(1))
        store.trials.finish(each, 0, result())
        folder = store.trial_folder(each, 0)
        folder.mkdir(parents=True)
        (folder / "weights").write_text("x")
    store.delete_study("first")
    assert [s.name for s in store.studies.read_all()] == ["other"]
    assert not store.trial_folder(study, 0).parent.exists()
    assert (store.trial_folder(other, 0) / "weights").exists()
    assert store.trials.get(other, 0).architecture == str(SE)
    assert len(store.epochs.read(other)) == 1
    store.delete_study("other")
    assert store.studies.read_all() == []


def test_folders_are_never_shared_nor_reused(store: Store) -> None:
    def create(name: str) -> Path:
        made = store.studies.create(name, backbone="r", objectives=("accuracy",), config={}, seed=0)
        return store.trial_folder(made, 3)

    folder = create("a .. b")
    assert folder.is_relative_to(store.artifacts)
    assert folder.name == "trial-00003"
    store.delete_study("a .. b")
    assert create("a .. b") != folder


def test_a_reader_sees_what_is_written_and_writes_nothing(
    store: Store, study: StudyRecord, target: str, result: Result
) -> None:
    with Store.open(target, read_only=True) as reader:
        assert reader.trials.read(study) == []
        store.trials.start(study, 0, SE, seed=0)
        store.trials.finish(study, 0, result())
        assert len(reader.trials.read(study)) == 1
        with pytest.raises(StoreError, match="reading only"):
            reader.trials.reject(study, SE, "no")


@pytest.mark.parametrize("number", [-1, 2**31, 2**63, 10**30])
def test_a_number_that_no_column_holds_is_no_trial(store, study, add, number):
    add("resnet18")
    with pytest.raises(StudyError, match=f"has no trial {number}; its trials are 0 to 0"):
        store.trials.get(study, number)
