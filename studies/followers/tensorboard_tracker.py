"""TensorBoard: one folder of event files for each trial, below a folder of the study.

    runs/mine/0007 cbam(r=16)@s3.residual/events.out.tfevents.…
    runs/mine/study/…

The parameters are those of the HParams plug-in. Its summaries are written as protocol buffers, as
torch's `SummaryWriter` writes them too: the functions of the plug-in need TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from ..records import StudyRecord
from .logged_values import (
    STUDY_RUN_PREFIX,
    LoggedEpoch,
    LoggedStart,
    StudyProgress,
    TrialEnd,
    study_parameters,
)
from .target import DEFAULT_FOLDER

OWNER_FILE = "attentune-study.txt"
"""Holds the identity of the study whose folder it is, since studies of two databases may have the
same name."""
EPOCH_TAG = "train/loss"
"""Every epoch has this tag, so that its last step is the last epoch."""
PROGRESS_TAG = "front/size"
_NOT_IN_FILE_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]')


class TensorBoardTracker:
    """A study in event files; see `Tracker`."""

    def __init__(self, study: StudyRecord, place: str | None) -> None:
        """Create the folder of the study, or continue it.

        Args:
            study: to be logged.
            place: the folder that `tensorboard --logdir` gets; None: `runs`.
        """
        self._folder = _study_folder(Path(place or DEFAULT_FOLDER).expanduser(), study)
        self._study = study
        self._folders: dict[int, Path] = {}
        self._writers: dict[Path, EventFileWriter] = {}
        for folder in sorted(self._folder.iterdir()):
            number, _, _ = folder.name.partition(" ")
            if number.isdecimal() and folder.is_dir():
                self._folders[int(number)] = folder
        self._progress: int | None = None

    def is_complete(self, number: int) -> bool:
        """Whether all of a trial is logged, its end included."""
        folder = self._folders.get(number)
        if folder is None or folder in self._writers:
            return False
        return metadata.SESSION_END_INFO_TAG in _read(folder).summary_metadata

    def start_trial(self, trial: LoggedStart) -> int:
        """Begin the run of a trial, or continue it; the last epoch that it has, or 0."""
        known = self._folders.get(trial.number)
        events = None if known is None else _read(known)
        folder = known or self._folder / _NOT_IN_FILE_NAMES.sub("_", trial.name).rstrip(". ")
        self._folders[trial.number] = folder
        if events is None or metadata.SESSION_START_INFO_TAG not in events.summary_metadata:
            info = SessionStartInfo(start_time_secs=trial.started_at)
            _set_parameters(info, trial.parameters)
            start = HParamsPluginData(session_start_info=info)
            self._add(folder, _hparams(metadata.SESSION_START_INFO_TAG, start), 0, trial.started_at)
            self._flush(folder)
        return 0 if events is None else _last_step(events, EPOCH_TAG)

    def log_epochs(self, number: int, epochs: Sequence[LoggedEpoch]) -> None:
        """Log epochs of a trial whose run was started here.

        Args:
            number: of the trial.
            epochs: later than those that the run has.
        """
        folder = self._folders[number]
        for epoch in epochs:
            self._add(folder, _scalars(epoch.metrics), epoch.epoch, epoch.time)
        self._flush(folder)

    def end_trial(self, number: int, end: TrialEnd) -> None:
        """Log the result of a trial whose run was started here, and end the run."""
        folder = self._folders[number]
        step = int(end.metrics.get("epochs", 0))
        self._add(folder, _scalars(end.metrics), step, end.ended_at)
        self._add(folder, _text({"state": end.state, **end.facts}), step, end.ended_at)
        status = Status.STATUS_SUCCESS if end.succeeded else Status.STATUS_FAILURE
        info = SessionEndInfo(status=status, end_time_secs=end.ended_at)
        summary = _hparams(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))
        self._add(folder, summary, step, end.ended_at)
        self._writers.pop(folder).close()

    def last_progress(self) -> int:
        """`StudyProgress.ended` of what was logged last of the study; 0 before."""
        if self._progress is None:
            folder = self._folder / STUDY_RUN_PREFIX
            self._progress = _last_step(_read(folder), PROGRESS_TAG) if folder.is_dir() else 0
        return self._progress

    def log_progress(self, progress: StudyProgress) -> None:
        """Log what the search has concluded."""
        folder = self._folder / STUDY_RUN_PREFIX
        if not self.last_progress():
            self._add(folder, _text({"settings": _settings_table(self._study)}), 0, progress.time)
        self._add(folder, _scalars(progress.metrics), progress.ended, progress.time)
        self._add(folder, _text(progress.facts), progress.ended, progress.time)
        self._flush(folder)
        self._progress = progress.ended

    def close(self) -> None:
        """Write what is pending. The runs of unfinished trials stay as they are."""
        while self._writers:
            _, writer = self._writers.popitem()
            writer.close()

    def _add(self, folder: Path, summary: Summary, step: int, time: float) -> None:
        writer = self._writers.get(folder)
        if writer is None:
            folder.mkdir(parents=True, exist_ok=True)
            writer = self._writers[folder] = EventFileWriter(str(folder))
        writer.add_event(Event(wall_time=time, step=step, summary=summary))

    def _flush(self, folder: Path) -> None:
        if folder in self._writers:
            self._writers[folder].flush()


def _study_folder(root: Path, study: StudyRecord) -> Path:
    """The folder of a study, which exists then; another one if a namesake has the first choice."""
    for name in (study.name, f"{study.name} ({study.folder.rpartition('-')[2]})"):
        folder = root / name
        owner = folder / OWNER_FILE
        if not folder.exists() or not any(folder.iterdir()):
            folder.mkdir(parents=True, exist_ok=True)
            owner.write_text(study.folder + "\n", encoding="utf-8")
        if owner.exists() and owner.read_text("utf-8").strip() == study.folder:
            break
    return folder


def _settings_table(study: StudyRecord) -> str:
    """The settings of a study as a table in Markdown, which the text plug-in shows."""
    rows = [f"| {name} | {value} |" for name, value in study_parameters(study).items()]
    return "\n".join(["| setting | value |", "| --- | --- |", *rows])


def _read(folder: Path) -> Any:
    """The events of a folder: `summary_metadata` by tag, and `Scalars`."""
    return EventAccumulator(str(folder), size_guidance={"tensors": 1, "scalars": 0}).Reload()


def _last_step(events: Any, tag: str) -> int:
    if tag not in events.Tags()["scalars"]:
        return 0
    return max((event.step for event in events.Scalars(tag)), default=0)


def _scalars(metrics: Mapping[str, float]) -> Summary:
    return Summary(
        value=[Summary.Value(tag=tag, simple_value=value) for tag, value in metrics.items()]
    )


def _text(facts: Mapping[str, str]) -> Summary:
    """Texts as the text plug-in shows them."""
    return Summary(
        value=[
            Summary.Value(
                tag=name,
                metadata=create_summary_metadata(name, ""),
                tensor=make_tensor_proto([fact.encode()], dtype="string"),
            )
            for name, fact in facts.items()
        ]
    )


def _hparams(tag: str, data: HParamsPluginData) -> Summary:
    data.version = metadata.PLUGIN_DATA_VERSION
    plugin_data = SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString()
    )
    value = Summary.Value(
        tag=tag,
        metadata=SummaryMetadata(plugin_data=plugin_data),
        tensor=metadata.NULL_TENSOR,
    )
    return Summary(value=[value])


def _set_parameters(info: SessionStartInfo, parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, str):
            info.hparams[name].string_value = value
        else:
            info.hparams[name].number_value = value
