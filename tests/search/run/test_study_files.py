"""Which files of a study are kept, and that nothing else is touched."""

from __future__ import annotations

import logging

from attentune.runners.results import CHECKPOINT_FILE, PREDICTIONS_FILE, WEIGHTS_FILE
from attentune.search.run.study_files import (
    StudyFiles,
    distances_from_front,
    exported_numbers,
)
from attentune.search.run.study_run import StudyRun
from attentune.studies.analysis.analyse import analyse
from attentune.studies.config import RunPlan

WEIGHTS_BYTES = 1000
MIB = 1 / 2**20


def write_files(_study, trial, report):
    """What a worker leaves: a checkpoint after each epoch, and a result after the last one."""
    folder = trial.job.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKPOINT_FILE).write_bytes(b"checkpoint")
    if report.epoch == trial.job.recipe.epochs:
        (folder / PREDICTIONS_FILE).write_bytes(b"predictions")
        (folder / WEIGHTS_FILE).write_bytes(bytes(WEIGHTS_BYTES))


def findings(bench, name="s"):
    record = bench.store.studies.get(name)
    return analyse(record, bench.store.trials.read(record))


def numbers_with(bench, file=WEIGHTS_FILE, name="s"):
    folder = bench.store.study_folder(name)
    return {int(path.parent.name.removeprefix("trial-")) for path in folder.glob(f"*/{file}")}


def clean_up(bench, name="s", **plan):
    record = bench.store.studies.get(name)
    StudyFiles(StudyRun(bench.store, record, record.config.study, RunPlan(**plan))).clean_up()


def test_by_default_all_weights_are_kept_and_no_checkpoint(bench):
    bench.run("s", 12, bench.config(), on_epoch=write_files)
    assert numbers_with(bench) == set(range(12))
    assert numbers_with(bench, CHECKPOINT_FILE) == set()


def test_the_files_of_pruned_and_failed_trials_are_deleted(bench):
    pruning = {"pruner": "asha", "first": 0.3, "eta": 2, "signal": "accuracy"}
    bench.run("s", 14, bench.config(pruning=pruning), on_epoch=write_files)
    states = {row[0]: row[3] for row in bench.rows("s")}
    complete = {number for number, state in states.items() if state == "complete"}
    assert "pruned" in states.values()
    folders = {path.name for path in bench.store.study_folder("s").iterdir()}
    assert folders == {f"trial-{number:05d}" for number in complete}
    folder = bench.store.trial_folder("s", 14)
    folder.mkdir()
    (folder / CHECKPOINT_FILE).write_bytes(b"of a trial that is about to fail")
    bench.pool.fails = True
    bench.run("s", 15)
    assert bench.rows("s")[14][3] == "failed"
    assert not folder.exists()


def test_the_weights_of_the_front_are_kept_if_asked_for(bench):
    bench.run("s", 25, bench.config(), on_epoch=write_files, keep_weights="front")
    result = findings(bench)
    assert numbers_with(bench) == exported_numbers(result)
    assert {result.best.number, result.knee.number, result.bare.number} <= numbers_with(bench)
    assert len(numbers_with(bench)) < 15


def test_no_weights_are_kept_if_none_are_asked_for(bench):
    bench.run("s", 5, bench.config(), on_epoch=write_files, keep_weights="none")
    assert numbers_with(bench) == set()
    assert numbers_with(bench, PREDICTIONS_FILE) == set(range(5)), "predictions have another rule"


def test_predictions_of_earlier_trials_go_if_none_are_to_be_kept(bench):
    bench.run("s", 5, bench.config(), on_epoch=write_files)
    assert numbers_with(bench, PREDICTIONS_FILE) == set(range(5))
    bench.run("s", 5, keep_predictions="none")
    assert numbers_with(bench, PREDICTIONS_FILE) == set()
    assert numbers_with(bench) == set(range(5))


def test_the_predictions_of_a_trial_that_fails_at_its_end_are_deleted(bench):
    bench.run("s", 2, bench.config())
    folder = bench.store.trial_folder("s", 2)
    folder.mkdir(parents=True)
    (folder / PREDICTIONS_FILE).write_bytes(b"written before the end was reported")
    bench.pool.fails = True
    bench.run("s", 3)
    assert not folder.exists()


def test_beyond_the_limit_the_weights_farthest_from_the_front_go_first(bench, caplog):
    limit = 12 * WEIGHTS_BYTES * MIB
    with caplog.at_level(logging.WARNING):
        bench.run("s", 30, bench.config(), on_epoch=write_files, max_weights_size=limit)
    result, kept = findings(bench), numbers_with(bench)
    assert 6 <= len(kept) <= 12
    assert exported_numbers(result) <= kept
    assert len([r for r in caplog.records if "--max-weights-size" in r.getMessage()]) == 1
    distances = distances_from_front(result)
    assert all(distances[summary.number] == 0 for summary in result.front)
    gone = set(range(30)) - kept
    # Which trials are farthest is judged when space is needed, so single ones may differ later.
    mean = {
        name: sum(map(distances.get, group)) / len(group)
        for name, group in (("kept", kept), ("gone", gone))
    }
    assert mean["kept"] < mean["gone"]


def test_a_plan_that_was_changed_applies_to_earlier_weights(bench):
    bench.run("s", 12, bench.config(), on_epoch=write_files)
    bench.run("s", 12, keep_weights="front")
    assert numbers_with(bench) == exported_numbers(findings(bench))


def test_confirming_weights_are_kept_with_the_front_and_not_with_none(bench):
    bench.run("s", 8, bench.config(), on_epoch=write_files)
    bench.confirm("s", on_epoch=write_files, top=1, seeds=2)
    confirming = {number for number in numbers_with(bench) if number >= 1000}
    assert len(confirming) >= 4
    clean_up(bench, keep_weights="front")
    assert confirming <= numbers_with(bench)
    assert numbers_with(bench) - confirming == exported_numbers(findings(bench))
    clean_up(bench, keep_weights="none")
    assert not numbers_with(bench)


def test_what_killed_processes_left_is_cleaned_up_and_nothing_else(bench, tmp_path):
    def stop(study, trial, report):
        write_files(study, trial, report)
        if trial.number == 4:
            study.stop()

    bench.run("s", 6, bench.config(), on_epoch=stop)
    folder, other = bench.store.study_folder("s"), bench.store.artifacts / "other"
    draft = f".{WEIGHTS_FILE}.123.0123abcd"
    outside = tmp_path / "outside"
    outside.mkdir()
    for place in (folder / "trial-00000", folder, other, outside):
        place.mkdir(exist_ok=True)
        (place / draft).write_bytes(b"half")
    (folder / "trial-00001" / CHECKPOINT_FILE).write_bytes(b"left behind")
    (folder / "trial-00001" / "notes.txt").write_text("of the user")
    (folder / "trial-00077").mkdir()
    (folder / "trial-00077" / CHECKPOINT_FILE).write_bytes(b"of a trial that was never recorded")
    (folder / "trial-00078").mkdir()
    (folder / "trial-00078" / WEIGHTS_FILE).write_bytes(b"of a trial in a newer database")
    (folder / "trial-00079").symlink_to(outside)
    clean_up(bench)
    assert not (folder / "trial-00000" / draft).exists()
    assert not (folder / draft).exists()
    assert not (folder / "trial-00077").exists()
    assert numbers_with(bench, CHECKPOINT_FILE) == {4}, "only that of the interrupted trial"
    assert numbers_with(bench) == {0, 1, 2, 3, 78}
    assert (folder / "trial-00001" / "notes.txt").exists()
    assert (other / draft).exists()
    assert (outside / draft).exists()


def test_a_file_that_cannot_be_deleted_ends_no_study(bench, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("attentune.runners.artifacts.local_store.remove_path", refuse)
    bench.run("s", 4, bench.config(), on_epoch=write_files, keep_weights="none")
    assert [row[3] for row in bench.rows("s")] == ["complete"] * 4
