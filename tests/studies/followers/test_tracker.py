"""The contract of experiment trackers: what was logged is read back with the tool's own reader."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.followers.follow import StudyFollower
from attentune.studies.followers.target import TOOLS, TrackerTarget
from attentune.studies.followers.tracker import open_tracker

BARE, SE = "resnet18", "resnet18+se(r=16)@s3-s4.residual"
BLOCK_BYTES = 32768


@dataclass
class LoggedRun:
    """A run as its tool reads it: curves as (step, value), the rest by name."""

    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    status: str = ""

    def add(self, name: str, step: int, value: float) -> None:
        self.curves.setdefault(name, []).append((step, value))


class TensorBoardReader:
    place = "runs"
    ended: ClassVar = {"complete": "STATUS_SUCCESS", "failed": "STATUS_FAILURE"}

    def read(self) -> dict[str, LoggedRun]:
        return {
            folder.name.partition(" ")[0]: self._read(folder)
            for folder in (Path("runs") / "first").iterdir()
            if folder.is_dir()
        }

    def _read(self, folder: Path) -> LoggedRun:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.plugins.hparams import metadata
        from tensorboard.plugins.hparams.api_pb2 import Status

        events, run = EventAccumulator(str(folder)).Reload(), LoggedRun()
        for tag in events.Tags()["scalars"]:
            run.curves[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["tensors"]:
            values = events.Tensors(tag)[-1].tensor_proto.string_val
            run.facts |= {tag: values[0].decode()} if values else {}
        contents = {}
        if folder.name != "study":
            contents = events.PluginTagToContent(metadata.PLUGIN_NAME)
        if start := contents.get(metadata.SESSION_START_INFO_TAG):
            hparams = metadata.parse_session_start_info_plugin_data(start).hparams
            for name, value in hparams.items():
                shown = getattr(value, value.WhichOneof("kind"))
                run.parameters[name] = f"{shown:g}" if isinstance(shown, float) else str(shown)
        if end := contents.get(metadata.SESSION_END_INFO_TAG):
            run.status = Status.Name(metadata.parse_session_end_info_plugin_data(end).status)
        return run


class MLflowReader:
    ended: ClassVar = {"complete": "FINISHED", "failed": "FAILED"}

    @property
    def place(self) -> str:
        # MLflow keeps one connection for each URI; a relative path would be that of another test.
        return f"sqlite:///{Path('mlflow.db').absolute()}"

    def read(self) -> dict[str, LoggedRun]:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self.place)
        experiment = client.get_experiment_by_name("first")
        runs = client.search_runs([experiment.experiment_id])
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        assert len(parents) == 1, "one run holds the study"
        logged = {}
        for run in runs:
            tags = run.data.tags
            assert tags.get("mlflow.parentRunId", parents[0].info.run_id) == parents[0].info.run_id
            values = LoggedRun({}, run.data.params, tags, run.info.status)
            for name in run.data.metrics:
                for entry in client.get_metric_history(run.info.run_id, name):
                    values.add(name, entry.step, entry.value)
            name = "study" if run is parents[0] else f"{int(tags['attentune.trial']):04d}"
            logged[name] = values
        return logged


class WandbReader:
    place = "project"
    ended: ClassVar = {"complete": "0", "failed": "1"}

    def read(self) -> dict[str, LoggedRun]:
        logged: dict[str, LoggedRun] = {}
        for file in sorted(Path("wandb").glob("offline-run-*/run-*.wandb")):
            name = file.stem.rpartition("-")[2]
            key = f"{int(name):04d}" if name.isdecimal() else name
            self._read(file, logged.setdefault(key, LoggedRun()))
        return logged

    def _read(self, file: Path, run: LoggedRun) -> None:
        from wandb.proto import wandb_internal_pb2

        for data in wandb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            match record.WhichOneof("record_type"):
                case "run":
                    assert (record.run.project, record.run.run_group) == ("project", "first")
                    for item in record.run.config.update:
                        run.parameters[item.key] = str(json.loads(item.value_json))
                case "history":
                    row = {
                        item.key or item.nested_key[0]: json.loads(item.value_json)
                        for item in record.history.item
                    }
                    for name, value in row.items():
                        if not name.startswith("_"):
                            run.add(name, row["_step"], float(value))
                case "summary":
                    for item in record.summary.update:
                        value = json.loads(item.value_json)
                        if isinstance(value, str):
                            run.facts[item.key] = value
                        elif item.key not in run.curves:
                            run.curves[item.key] = [(0, value)]
                case "exit":
                    run.status = str(record.exit.exit_code)


def wandb_records(content: bytes) -> Iterator[bytes]:
    """The records of an offline run: the log format of LevelDB after a header of 7 bytes."""
    position, record = 7, b""
    while position + 7 <= len(content):
        left_in_block = BLOCK_BYTES - position % BLOCK_BYTES
        if left_in_block < 7:
            position += left_in_block
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # A whole record, or the last part of one.
            yield record
            record = b""


READERS: dict[str, Any] = {
    "tensorboard": TensorBoardReader(),
    "mlflow": MLflowReader(),
    "wandb": WandbReader(),
}


@pytest.fixture(autouse=True)
def files_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard reads files by name, which ends with a number counted in each process. Those of
    one second are in order only while it has equally many digits."""
    from tensorboard.summary.writer import event_file_writer

    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(1000))


@pytest.fixture(params=TOOLS)
def reader(request, tmp_path, monkeypatch):
    pytest.importorskip(request.param)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    return READERS[request.param]


@pytest.fixture
def follow(reader, store, study):
    """Logs the study from where it was logged before, as a new process would."""
    tool = next(tool for tool, value in READERS.items() if value is reader)
    target = TrackerTarget(tool, reader.place)

    def run() -> dict[str, LoggedRun]:
        follower = StudyFollower(store, "first", lambda record: open_tracker(target, record))
        follower.update()
        follower.close()
        return reader.read()

    return run


def test_a_trial_is_a_run_with_its_choices_epochs_and_result(follow, reader, store, study, add):
    add(BARE, 0.5)
    add(SE, 0.7, 1010, seed=3)
    store.trials.start(study, 2, parse(SE), seed=4)
    store.trials.fail(study, 2, Failure("diverged", "the loss is NaN"))
    logged = follow()
    assert set(logged) == {"0000", "0001", "0002", "study"}
    run = logged["0001"]
    assert run.parameters["architecture"] == SE
    assert (run.parameters["seed"], run.parameters["s4.attention"]) == ("3", "se")
    assert run.parameters["s4.ratio"] == "16"
    assert run.curves["val/accuracy"] == [(1, pytest.approx(0.35)), (2, pytest.approx(0.7))]
    assert run.curves["accuracy"][-1][1] == pytest.approx(0.7)
    assert run.curves["params"][-1][1] == 1010
    assert (run.facts["state"], run.status) == ("complete", reader.ended["complete"])
    failed = logged["0002"]
    assert (failed.facts["failure_kind"], failed.status) == ("diverged", reader.ended["failed"])
    assert logged["study"].curves["front/size"][-1][1] >= 1
    assert logged["study"].facts["best_architecture"] == SE


def test_what_is_logged_is_not_logged_again_and_a_resumed_trial_continues_its_run(
    follow, store, study, add, epoch, result
):
    add(BARE, 0.5)
    store.trials.start(study, 1, parse(SE), seed=0)
    store.epochs.record(study, 1, epoch(1, 0.3, val_loss=math.nan))
    assert follow()["0001"].curves["val/accuracy"] == [(1, pytest.approx(0.3))]
    before = follow()
    store.epochs.record(study, 1, epoch(1, 0.3))  # Trained again after a lost worker.
    store.epochs.record(study, 1, epoch(2, 0.6))
    store.trials.finish(study, 1, result(0.6))
    after = follow()
    assert set(after) == {"0000", "0001", "study"}
    assert after["0001"].curves["val/accuracy"] == [
        (1, pytest.approx(0.3)),
        (2, pytest.approx(0.6)),
    ]
    assert after["0000"] == before["0000"] == follow()["0000"]
    assert after["study"].curves["trials/complete"] == [(1, 1.0), (2, 2.0)]


def test_studies_of_one_name_do_not_mix(reader, store, study, add):
    """A study that was removed, or one of another database."""
    add(BARE, 0.5)
    tool = next(tool for tool, value in READERS.items() if value is reader)
    target = TrackerTarget(tool, reader.place)
    for folder in ("study-00000000", study.folder):
        tracker = open_tracker(target, replace(study, folder=folder))
        assert not tracker.is_complete(0)
        assert not tracker.last_progress()
        tracker.close()


def test_a_module_path_can_be_a_parameter(follow, add):
    add("net+cbam(r=16)@{model.6}.post", 0.5)
    parameters = follow()["0000"].parameters
    assert "cbam" in (parameters.get("{model.6}.attention"), parameters.get("_model.6_.attention"))
