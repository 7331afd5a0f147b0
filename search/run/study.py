"""Studies in the public API: start or open one, read its results, continue it.

    study = attentune.search("mine", backbone="resnet18", data="~/photos", trials=40)
    print(study.summary)
    study.figures()["heatmap"].show()
    study.export("model", pick="knee")

A worker process imports the script that started it. So a script that searches needs the usual guard
for multiprocessing: `if __name__ == "__main__":`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import AttentuneError, TrialError, UsageError
from ...named_objects import name_of_object
from ...studies.analysis.analyse import analyse
from ...studies.analysis.confirmation import Confirmation
from ...studies.analysis.findings import ArchitectureSummary, Findings
from ...studies.database.predictions import load_predictions
from ...studies.database.store import Store
from ...studies.outputs.judged_images import read_confirmation as recorded_confirmation
from ...studies.outputs.judged_images import read_study_warnings
from ...studies.outputs.read_findings import read_findings, read_model
from ...studies.outputs.study_json import study_json
from ...studies.records import StudyRecord, TrialRecord
from ...studies.text.summary import summary_sentence
from .callback import Callback
from .confirm import ConfirmRequest, read_confirmation
from .data_options import DataOptions
from .session import confirm_study, create_study, run_study

if TYPE_CHECKING:
    import pandas

    from ...runners.data import Progress
    from ...runners.predictions import Predictions
    from ...runners.workers.user_trial import UserTrial
    from ...studies.outputs.study_figures import Figure


def search(
    name: str,
    *,
    backbone: str | None = None,
    data: str | Path | None = None,
    evaluate: str | Callable[[UserTrial], Any] | None = None,
    config: str | Path | None = None,
    db: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    **settings: Any,
) -> Study:
    """Start a study and run it to the end of its plan.

    Messages go to the logger `attentune`. Results are in the database as soon as a trial ends, so
    another process can open the study while it runs.

    Args:
        name: a new name in the database.
        backbone: a timm model, such as `resnet18`.
        data: an embedded task, a folder of class folders, an archive, or a timm data set name.
        evaluate: your own training in place of the built-in one, which then needs no data: a
            function of a module, or `my_module:train`, or a command as text. It gets a
            `UserTrial`, and returns its metrics.
        config: a TOML file with settings; arguments take precedence over it.
        db: path or URL of the database; by default $ATTENTUNE_DB, else `attentune.db`.
        callbacks: called on every event of the study.
        progress: called while images are decoded, with the number of decoded images and of all.
        settings: any option of `attentune search`, with underscores: `trials=40`, `epochs=8`,
            `objective=("accuracy", "latency")`, `max_params="5M"`, `sampler="tpe"`.

    Raises:
        UsageError: a setting is unknown or out of range.
        StudyError: the name is taken.
        AttentuneError: the data, the backbone or the database cannot be used.
        TrialError: all trials failed, or the first ones did.
        KeyboardInterrupt: interrupted; the running epochs are saved, and `Study.resume` continues.
    """
    from ..setup.request import read_request

    _refuse_in_worker()
    _check_callbacks(callbacks)
    if data is not None:
        settings["data"] = str(data)
    if evaluate is not None:
        settings["evaluate"] = evaluate if isinstance(evaluate, str) else name_of_object(evaluate)
    request = read_request(
        {"backbone": backbone, **settings}, None if config is None else Path(config)
    )
    with Store.open(db, create=True) as store:
        record = create_study(store, name, request, progress)
        _run(store, record, callbacks)
    return Study(name, db)


def open_study(name: str, db: str | Path | None = None) -> Study:
    """Open a study to read, continue, confirm or export it.

    Args:
        name: of the study.
        db: path or URL of the database; by default $ATTENTUNE_DB, else `attentune.db`.

    Raises:
        StudyError: there is no study of that name.
        StoreError: the database cannot be opened.
    """
    with Store.open(db, read_only=True) as store:
        store.studies.get(name)
    return Study(name, db)


class Study:
    """A study of a database. Every call reads the database, so it also shows a running search."""

    def __init__(self, name: str, db: str | Path | None = None) -> None:
        """Refer to a study by name; `open_study` also checks that it exists.

        Args:
            name: of the study.
            db: path or URL; by default $ATTENTUNE_DB, else `attentune.db`.
        """
        self.name, self.db = name, db

    def __repr__(self) -> str:
        return f"Study({self.name!r})"

    @contextlib.contextmanager
    def _reading(self) -> Iterator[tuple[Store, StudyRecord]]:
        with Store.open(self.db, read_only=True) as store:
            yield store, store.studies.get(self.name)

    @property
    def trials(self) -> list[TrialRecord]:
        """All trials of the search by number, baselines included."""
        with self._reading() as (store, record):
            return store.trials.read(record)

    @property
    def findings(self) -> Findings:
        """The results: estimated accuracies, gains, front, best, knee, noise floor."""
        with self._reading() as (store, record):
            return read_findings(store, record)

    @property
    def front(self) -> tuple[ArchitectureSummary, ...]:
        """The architectures of the Pareto front, cheapest first."""
        return self.findings.front

    @property
    def best(self) -> ArchitectureSummary | None:
        """The best architecture so far; None before the first complete trial."""
        return self.findings.best

    @property
    def baseline(self) -> ArchitectureSummary | None:
        """The bare backbone; None before its first complete trial."""
        return self.findings.bare

    @property
    def summary(self) -> str:
        """The recommendation in one sentence: the architecture to take, or the bare backbone."""
        with self._reading() as (store, record):
            findings = read_findings(store, record)
            confirmation = recorded_confirmation(store, record, findings)
            return summary_sentence(record, findings, confirmation)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What has to be known before believing a number, such as that nothing is above chance."""
        with self._reading() as (store, record):
            return read_study_warnings(store, record, read_findings(store, record))

    @property
    def confirmation(self) -> Confirmation | None:
        """The results of `confirm`; None if it was never started."""
        with self._reading() as (store, _):
            return read_confirmation(store, self.name)

    def predictions(self, number: int) -> Predictions | None:
        """The predictions of a trial: labels, predicted classes and probabilities by image.

        Those for the validation images, or for a confirming trial for the test images, in the order
        of the prepared data.

        Args:
            number: of the trial.

        Returns:
            None if they were not kept, or if the trial is not complete.

        Raises:
            StudyError: there is no such trial.
            StoreError: the file is damaged, or is not that of this trial.
        """
        with self._reading() as (store, record):
            return load_predictions(store, record, store.trials.get(record, number))

    def figures(self) -> dict[str, Figure]:
        """The report's figures by name: `pareto-params`, `heatmap`, `learning-curves`, …."""
        from ...studies.outputs.study_figures import study_figures

        with self._reading() as (store, record):
            trials, epochs = store.trials.read(record), store.epochs.read(record)
            model = read_model(store, record)
            findings = analyse(record, trials, model)
            confirmation = recorded_confirmation(store, record, findings)
        figures = study_figures(findings, trials, epochs, record.config, model, confirmation)
        return {figure.name: figure.draw() for figure in figures}

    def to_pandas(self) -> pandas.DataFrame:
        """One row per trial, indexed by its number: what `attentune export-table` writes.

        Accuracy is a fraction, latency in ms, memory in MiB, durations in seconds; the choices of
        the architecture have a column each, such as `s1.attention`.

        Raises:
            AttentuneError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise AttentuneError(
                "to_pandas needs pandas, which is not installed; run `pip install pandas`."
            ) from None
        from ...studies.outputs.trials_table import trials_table

        with self._reading() as (store, record):
            columns, rows = trials_table(store, record)
        return pandas.DataFrame(rows, columns=columns).set_index("number")

    def to_json(self) -> dict[str, Any]:
        """What `attentune show STUDY --json` prints."""
        with self._reading() as (store, record):
            return study_json(store, record)

    def resume(
        self,
        *,
        callbacks: Sequence[Callback] = (),
        data: str | Path | None = None,
        allow_changed_data: bool = False,
        **plan: int | float | str | None,
    ) -> Study:
        """Continue where the study stopped; unfinished trials continue from their last epoch.

        Args:
            callbacks: called on every event of the study.
            data: where the images of the study are now; None: where they were.
            allow_changed_data: go on although they are not those that the study was searched on:
                with those that are left, in their classes and splits.
            plan: `trials`, `budget`, `device_budget` (totals over all runs), `trial_timeout`,
                `workers`, `device` and the other settings of `attentune resume`. They are stored
                once everything else has been checked.

        Raises:
            UsageError: a setting is unknown or out of range.
            DataError: the images are not those that the study was searched on.
            StudyError: another process runs the study, or an attention is not installed here.
            TrialError: all trials failed, or the first ones did.
            KeyboardInterrupt: interrupted; the running epochs are saved.
        """
        from ..setup.plan_changes import read_plan_changes

        _refuse_in_worker()
        _check_callbacks(callbacks)
        changes = read_plan_changes(plan)
        with Store.open(self.db) as store:
            options = _data_options(data, allow_changed_data)
            _run(store, store.studies.get(self.name), callbacks, changes, options)
        return self

    def confirm(
        self,
        *,
        top: int | None = None,
        seeds: int | None = None,
        splits: int | None = None,
        epochs: int | None = None,
        workers: int | None = None,
        device: str | None = None,
        alternatives: bool | None = None,
        pool: str | None = None,
        ray_address: str | None = None,
        gpus_per_trial: int | None = None,
        data: str | Path | None = None,
        allow_changed_data: bool = False,
        callbacks: Sequence[Callback] = (),
    ) -> Confirmation:
        """Retrain finalists and baselines with fresh seeds, and evaluate them on the test split.

        Args:
            top: finalists from the Pareto front, to which the knee is added; None: 3.
            seeds: fresh seeds per architecture and split; None: 5.
            splits: splits into training, validation and test images, where the data have no test
                split of their own; None: 1.
            epochs: epochs per trial; None: 2.5 times the search's.
            workers: trials at the same time; None: the search's.
            device: as `--device`; None: the search's.
            alternatives: whether to confirm the alternatives to attention; None: if the search
                trains them.
            pool: as `--pool`; None: the search's.
            ray_address: as `--ray-address`; None: the search's.
            gpus_per_trial: GPUs on which each trial is trained; None: 1.
            data: as in `resume`.
            allow_changed_data: as in `resume`.
            callbacks: called on every event.

        Raises:
            DataError: the images are not those that the study was searched on.
            StudyError: the bare backbone is not complete yet, the study was confirmed with another
                number of epochs, or the data have a test split of their own.
            KeyboardInterrupt: interrupted; another call continues.
        """
        _refuse_in_worker()
        _check_callbacks(callbacks)
        request = ConfirmRequest(
            top,
            seeds,
            splits,
            epochs,
            workers,
            device,
            alternatives,
            pool,
            ray_address,
            gpus_per_trial,
        )
        with Store.open(self.db) as store:
            options = _data_options(data, allow_changed_data)
            record = store.studies.get(self.name)
            outcome = confirm_study(store, record, request, callbacks, options)
            if not outcome.finished:
                raise KeyboardInterrupt(outcome.sentence)
            confirmation = read_confirmation(store, self.name)
        assert confirmation is not None  # It has just been run.
        return confirmation

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the figures and tables into one offline HTML file, and return its path.

        Raises:
            StoreError: the file cannot be written.
        """
        from ...studies.outputs.report import write_report

        with self._reading() as (store, record):
            return write_report(store, record, path)

    def export(
        self,
        folder: str | Path,
        pick: str | int = "best",
        *,
        onnx: bool = False,
        data: str | Path | None = None,
        allow_changed_data: bool = False,
    ) -> Path:
        """Write a trial's model into a new folder that `attentune.load` reads; return the folder.

        Args:
            folder: the folder to create; it may exist if it is empty.
            pick: `best`, `knee`, or a trial's number.
            onnx: whether to write `model.onnx`, too.
            data: where the images of the study are now; None: where they were.
            allow_changed_data: go on although they are not those that the study was searched on.
                The model is described as it was trained in any case.

        Raises:
            DataError: the images are not those that the study was searched on.
            UsageError: `pick` is none of these, or a package that writes ONNX is missing.
            StudyError: no trial is complete, or an attention is not installed here.
            StoreError: the folder cannot be written, or the weights are missing.
        """
        from ...studies.outputs.export import export, pick_trial  # They import torch.

        with self._reading() as (store, record):
            trial = pick_trial(store, record, str(pick))
            place = _data_options(data, allow_changed_data).data
            return export(
                store,
                record,
                trial,
                Path(folder).expanduser(),
                onnx=onnx,
                data=place,
                allow_changed_data=allow_changed_data,
            )


def _data_options(data: str | Path | None, allow_changed: bool) -> DataOptions:
    return DataOptions(None if data is None else str(data), allow_changed)


def _run(
    store: Store,
    record: StudyRecord,
    callbacks: Sequence[Callback],
    plan_changes: Mapping[str, Any] | None = None,
    data_options: DataOptions | None = None,
) -> None:
    outcome = run_study(store, record, callbacks, plan_changes, data_options)
    if not outcome.finished:
        raise KeyboardInterrupt(outcome.sentence)
    trials = store.trials.read(record)
    failures = [trial.failure for trial in trials if trial.failure]
    if trials and len(failures) == len(trials):
        last = failures[-1]
        raise TrialError(last.kind, f"all trials failed, the last with: {last.message}")


def _check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Refuse what is no callback before the run; later, its errors would only be logged."""
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise UsageError(
                f"{callback!r} is no callback; pass objects of a subclass of attentune.Callback"
            )


def _refuse_in_worker() -> None:
    """Raise a UsageError if a worker process imports the script that started the search.

    A worker imports the script as a module named `__mp_main__`, and until that is done it does not
    know its parent process. Elsewhere, `__mp_main__` is another key for the module `__main__`.
    """
    script = sys.modules.get("__mp_main__")
    imported = script is not None and script.__name__ == "__mp_main__"
    if imported and multiprocessing.parent_process() is None:
        raise UsageError(
            "a worker process imports this script, and the script starts a search again; put the "
            'search under `if __name__ == "__main__":`.'
        )
