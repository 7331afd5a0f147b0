"""Copies of studies in another database: whole, equal, independent of their originals."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
import pytest
from attentune.errors import StoreError, StudyError, UsageError
from attentune.files import draft_path
from attentune.runners.results import Costs, EpochReport, TrialResult
from attentune.search.run import copy_studies as module
from attentune.search.run.copy_studies import CopiedStudy, copy_studies, select_studies
from attentune.search.run.optuna_study import OptunaStudy
from attentune.search.run.optuna_tables import MARK
from attentune.spaces.architecture import parse
from attentune.studies.database import artifact_copies
from attentune.studies.database.artifact_copies import FolderCopy
from attentune.studies.database.store import Store
from attentune.studies.database.study_rows import StudyRows
from attentune.studies.outputs.study_json import study_json
from attentune.studies.trial_marks import TrialMarks
from postgresql_servers import DATABASES, needs_postgres, new_database

Open = Callable[[str], Store]


@pytest.fixture
def open_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens new databases of a kind; they are gone after the test."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def open_database(kind: str) -> Store:
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            database = stack.enter_context(new_database(kind, folder))
            return stack.enter_context(Store.open(database, create=True))

        yield open_database


def copy_all(source: Store, target: Store, *names: str) -> list[CopiedStudy]:
    return list(copy_studies(source, target, select_studies(source, names)))


def optuna_contents(store: Store, name: str) -> Any:
    """All that Optuna has of a study but the mark, which names the folder."""
    study = optuna.load_study(study_name=name, storage=store.url)
    assert study.user_attrs[MARK]["folder"] == store.studies.get(name).folder
    trials = [
        (
            *(trial.number, trial.state, trial.values, trial.params, trial.distributions),
            *(trial.user_attrs, trial.system_attrs, trial.intermediate_values),
            *(trial.datetime_start, trial.datetime_complete),
        )
        for trial in study.trials
    ]
    return study.directions, study.metric_names, trials


def add_study(store: Store, name: str = "s", *, in_optuna: bool = False) -> Path:
    """A study with two trials and two files; its folder."""
    study = store.studies.create(
        name, backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    result = TrialResult(0.5, 3, Costs(10, 20), 1.0, 1.0, 10.0, {"torch": "none"})
    for number in (0, 1):
        store.trials.start(study, number, parse("resnet18"), seed=number)
        store.epochs.record(study, number, EpochReport(1, 1.0, 0.25, 1.0, 0.1, 0.5))
        store.trials.finish(study, number, result)
    if in_optuna:
        trials = OptunaStudy(study.objectives, store, study)
        for number in (0, 1):
            trials.save(trials.ask(), {})
            trials.tell(number, [0.5])
        trials.write()
    folder = store.trial_folder(study, 1)
    (folder / "files").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "files" / "notes.txt").write_bytes(b"notes")
    return store.study_folder(study)


def assert_holds_nothing(store: Store) -> None:
    assert store.studies.read_all() == []
    assert optuna.get_all_study_names(store.url) == []
    assert list(store.artifacts.glob("*")) + list(store.artifacts.glob(".*")) == []


@pytest.mark.parametrize(
    "kinds",
    [["sqlite"], pytest.param(["postgres", "sqlite"], marks=needs_postgres)],
    ids=" and ".join,
)
def test_a_copy_goes_on_as_the_original_would(bench, open_new, kinds):
    """And so does the copy of a copy. A trial was rejected, and another one interrupted."""

    def stop(study, trial, report):
        if trial.number == 7 and report.epoch == 1:
            study.stop()

    bench.pool.rejects = lambda job: "too large" if job.number == 6 else None
    bench.run("s", 12, bench.config(objectives=("accuracy", "params")), on_epoch=stop)
    original = copy = bench.store
    assert original.trials.read("s")[-1].state == "running"
    for kind in kinds:
        source, copy = copy, open_new(kind)
        (copied,) = copy_all(source, copy)
        assert copied.trials == len(original.trials.read("s"))
        assert optuna_contents(copy, "s") == optuna_contents(original, "s")
        # What a pool keeps of the interrupted trial lies where its folder is.
        epochs = bench.pool.epochs[source.trial_folder("s", 7)]
        bench.pool.epochs[copy.trial_folder("s", 7)] = epochs
    shown = [study_json(store, store.studies.get("s")) for store in (original, copy)]
    assert shown[0] == shown[1]
    outcomes = []
    for store in (original, copy):
        bench.store = store
        bench.run("s", 9)
        trials = [trial[:4] for trial in optuna_contents(store, "s")[-1]]
        outcomes.append((bench.rows("s"), trials))
    bench.store = original
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][0]) == 9


def test_files_are_copied_and_a_copy_has_its_own(open_new, tmp_path, caplog):
    source, target = open_new("sqlite"), open_new("sqlite")
    folder = add_study(source)
    (folder / "trial-00001" / "link").symlink_to(tmp_path)
    (draft_path(folder / "trial-00001" / "weights.safetensors")).write_bytes(b"half")
    (copied,) = copy_all(source, target)
    assert (copied.artifacts.files, copied.artifacts.size) == (2, 12)
    assert re.search("link is a link, and is not copied", caplog.text)
    copy = target.study_folder("s")
    assert copy.name != folder.name
    files = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
    assert files == ["trial-00001/files/notes.txt", "trial-00001/weights.safetensors"]
    assert [path.name for path in target.artifacts.iterdir()] == [copy.name]
    source.delete_study("s")
    assert (copy / "trial-00001" / "weights.safetensors").read_bytes() == b"weights"
    assert len(target.trials.read("s")) == 2


def test_a_copy_without_files_says_so(open_new, caplog):
    source, target = open_new("sqlite"), open_new("sqlite")
    folder = add_study(source)
    folder.rename(folder.with_name("elsewhere"))
    copy_all(source, target)
    assert "holds no files of 's', so the copy has the results" in caplog.text
    assert not target.artifacts.exists()


def test_several_studies_get_ids_of_their_own(open_new):
    source, target = open_new("sqlite"), open_new("sqlite")
    add_study(target, "there already")
    for name in ("a", "b", "c"):
        add_study(source, name)
    source.delete_study("a")
    assert [study.name for study in copy_all(source, target, "c", "b", "c")] == ["c", "b"]
    for name in ("there already", "b", "c"):
        assert [trial.number for trial in target.trials.read(name)] == [0, 1]
    target.delete_study("c")
    assert len(target.trials.read("b")) == 2
    assert len(source.trials.read("c")) == 2


def test_a_name_that_is_taken_is_refused_before_anything_is_copied(open_new):
    source, target = open_new("sqlite"), open_new("sqlite")
    for name in ("a", "b c", "d"):
        add_study(source, name)
    copy_all(source, target, "d")
    with pytest.raises(StudyError) as refused:
        copy_all(source, target)
    command = f"attentune db copy {source.name} {target.name} a 'b c'"
    assert "the study 'd' exists already in" in str(refused.value)
    assert f"copy the others with `{command}`" in str(refused.value)
    assert [study.name for study in target.studies.read_all()] == ["d"]
    with pytest.raises(StudyError, match=r"name another database, remove .* --db \S+`\.$"):
        copy_all(source, target, "d")
    optuna.create_study(study_name="a", storage=target.url)
    with pytest.raises(StudyError, match="an Optuna study called 'a' that attentune did not make"):
        copy_all(source, target, "a")


def test_what_cannot_be_copied_is_refused_in_a_sentence(open_new):
    source, target = open_new("sqlite"), open_new("sqlite")
    with pytest.raises(StudyError, match="holds no studies; there is nothing to copy"):
        select_studies(source)
    add_study(source)
    with pytest.raises(StudyError, match="there is no study 't'"):
        select_studies(source, ["t"])
    with pytest.raises(UsageError, match="cannot be copied to itself"):
        copy_all(source, source)
    optuna.create_study(study_name="s", storage=source.url)
    with pytest.raises(StudyError, match="did not make"):
        copy_all(source, target)
    assert_holds_nothing(target)


def test_a_study_that_runs_is_refused(open_new):
    source, target = open_new("sqlite"), open_new("sqlite")
    add_study(source)
    records = select_studies(source)
    lease = source.leases.acquire("s")
    with pytest.raises(StudyError, match=f"run by process {os.getpid()}"):
        select_studies(source)
    with pytest.raises(StudyError, match=f"run by process {os.getpid()}"):
        list(copy_studies(source, target, records))  # It began after the check.
    source.leases.release(lease)
    assert_holds_nothing(target)
    copy_all(source, target)
    assert source.leases.holder("s") is None


def test_a_study_that_somebody_continues_meanwhile_is_not_copied(open_new, monkeypatch):
    """The process that copies was stopped for so long that its lease was taken over."""
    source, target = open_new("sqlite"), open_new("sqlite")
    add_study(source)
    copy = StudyRows.copy.__func__

    def copy_slowly(*arguments, **options):
        with Store.open(source.url) as other:
            other.leases.release(other.leases.holder("s"))
        return copy(StudyRows, *arguments, **options)

    monkeypatch.setattr(StudyRows, "copy", copy_slowly)
    with pytest.raises(StudyError, match="another process has taken over the study 's'"):
        copy_all(source, target)
    assert_holds_nothing(target)


STEPS = {
    "files": (artifact_copies, "_copy_files"),
    "rows": (StudyRows, "copy"),
    "comparison": (StudyRows, "check"),
    "mark": (module, "mark_study"),
    "name of the folder": (FolderCopy, "give_name"),
}


@pytest.mark.parametrize(
    ("step", "killed", "kind"),
    [
        ("files", False, "sqlite"),
        ("files", True, "sqlite"),
        ("rows", False, "sqlite"),
        ("mark", True, "sqlite"),
        ("name of the folder", False, "sqlite"),
        ("name of the folder", True, "sqlite"),
        pytest.param("comparison", False, "postgres", marks=needs_postgres),
        pytest.param("name of the folder", True, "postgres", marks=needs_postgres),
    ],
)
def test_a_copy_that_is_interrupted_leaves_nothing(open_new, monkeypatch, step, killed, kind):
    source, target = open_new("sqlite"), open_new(kind)
    add_study(source, in_optuna=True)
    owner, name = STEPS[step]
    call = getattr(owner, name)

    def interrupted(*arguments, **options):
        call(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        if killed:  # Nothing that cleans up is done.
            patch.setattr(FolderCopy, "discard", lambda _: None)
            patch.setattr(module._Copier, "_finish_folders", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            copy_all(source, target)
    if killed:
        with Store.open(target.url):
            pass  # The next command that writes cleans up.
        monkeypatch.setattr(artifact_copies, "DRAFT_SECONDS", -1.0)
        artifact_copies._remove_old_drafts(target.artifacts)
    assert_holds_nothing(target)
    copy_all(source, target)
    assert (target.trial_folder("s", 1) / "weights.safetensors").read_bytes() == b"weights"
    assert optuna_contents(target, "s") == optuna_contents(source, "s")


@pytest.mark.parametrize("change", ["update {} set accuracy = accuracy / 2", "delete from {}"])
def test_a_copy_that_differs_is_not_kept(open_new, change):
    """The other database changes a value, or loses a row, of its own accord."""
    source, target = open_new("sqlite"), open_new("sqlite")
    add_study(source)
    epochs = "attentune_epochs"
    change = f"{change.format(epochs)} where id = new.id"
    with target.begin("commit") as connection:
        trigger = f"create trigger spoil after insert on {epochs} begin {change}; end"
        connection.exec_driver_sql(trigger)
    with pytest.raises(StoreError, match=r"not equal .*attentune_epochs: 2 rows, \d copied"):
        copy_all(source, target)
    assert_holds_nothing(target)


@pytest.mark.parametrize("kind", DATABASES)
def test_values_that_databases_store_differently_are_equal(open_new, kind):
    """Times, JSON, truth values, a negative zero and an infinite loss."""
    source, target = open_new(kind), open_new("sqlite")
    study = source.studies.create(
        "s", backbone="r", objectives=("accuracy",), config={"é": [1e300, None]}, seed=2**40
    )
    source.trials.start(study, 0, parse("resnet18"), seed=2**40)
    source.epochs.record(study, 0, EpochReport(1, -0.0, 0.25, float("inf"), 1e-17, 0.5))
    source.probes.put({"device": "cpu"}, {"answer": 1})
    source.marks.put(study, 0, TrialMarks(starred=True, tags=("good",), note="é"))
    copy_all(source, target)
    assert target.marks.read("s") == source.marks.read("s") != {}
    assert target.epochs.read("s") == source.epochs.read("s")
    copied, original = target.studies.get("s"), source.studies.get("s")
    assert (copied.config, copied.created_at) == (original.config, original.created_at)
    assert target.probes.get({"device": "cpu"}) == {"answer": 1}
