"""A small study, what its database holds, and what must be true of it after an attack."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from .attack import Attempt
from .command import Ended, check_stated
from .launcher import Patches, launcher, processes_of_session

STUDY = "s"
SETTINGS = (
    *("--backbone", "test_resnet", "--data", "digits", "--image-size", "16"),
    *("--train-limit", "256", "--batch-size", "64", "--stem", "native", "--lr", "0.004"),
    *("--precision", "float32", "--memory-format", "channels_last", "--device", "cpu"),
)
"""Nothing is left to `auto`, so that a study begins at once."""
WEIGHTS_FILE, CHECKPOINT_FILE = "model.safetensors", "checkpoint.safetensors"
PREDICTIONS_FILE = "predictions.npz"
SECONDS_TO_DIE = 5.0
"""How long a worker may live after its coordinator."""

Row = tuple[Any, ...]


@dataclass(frozen=True)
class SmallStudy:
    """The settings of a study that is attacked.

    Attributes:
        trials, epochs, workers, seed, sampler, pruner: as in `attentune search`.
    """

    trials: int = 6
    epochs: int = 2
    workers: int = 1
    seed: int = 1
    sampler: str = "random"
    pruner: str = "none"

    @property
    def search(self) -> tuple[str, ...]:
        """The words of the command that starts it."""
        numbers = {"epochs": self.epochs, "workers": self.workers, "seed": self.seed}
        names = {"sampler": self.sampler, "pruner": self.pruner, "trials": self.trials}
        options = [(f"--{name}", str(value)) for name, value in (numbers | names).items()]
        return ("search", STUDY, *SETTINGS, *(word for option in options for word in option))


@dataclass(frozen=True)
class StudyContent:
    """What the database holds of a study.

    Attributes:
        trials: (number, role, architecture key, seed, state, accuracy, epochs), by number.
        epochs: (number, epoch, accuracy, loss), in the order in which they were recorded.
        optuna: (number, state, accuracy), by number.
        folder: its name below the artifacts; None if there is no study.
    """

    trials: tuple[Row, ...] = ()
    epochs: tuple[Row, ...] = ()
    optuna: tuple[Row, ...] = ()
    folder: str | None = None

    @property
    def ended(self) -> dict[int, Row]:
        """The trials whose result is acknowledged, by number."""
        return {row[0]: row for row in self.trials if row[4] != "running"}

    def curve(self, number: int) -> list[int]:
        """The recorded epochs of a trial."""
        return [row[1] for row in self.epochs if row[0] == number]


@contextlib.contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, without any code of attentune.

    A connection that could not write would leave files beside the database.
    """
    connection = sqlite3.connect(f"file:{database}?mode=rw", uri=True, timeout=10)
    connection.execute("pragma query_only = on")
    try:
        yield connection
    finally:
        connection.close()


def read_content(database: Path, study: str = STUDY) -> StudyContent:
    """What the database holds of a study; nothing if it does not exist yet."""
    if not database.exists():
        return StudyContent()
    with reading(database) as connection:
        tables = {row[0] for row in connection.execute("select name from sqlite_master")}
        if "attentune_studies" not in tables:
            return StudyContent()
        trials = connection.execute(
            "select number, role, architecture_key, t.seed, state, accuracy, epochs "
            "from attentune_trials t join attentune_studies s on s.id = study_id "
            "where s.name = ? order by number",
            (study,),
        ).fetchall()
        epochs = connection.execute(
            "select number, epoch, e.accuracy, val_loss from attentune_epochs e "
            "join attentune_trials t on t.id = trial_id "
            "join attentune_studies s on s.id = study_id where s.name = ? order by e.id",
            (study,),
        ).fetchall()
        optuna = []
        if "trial_values" in tables:
            optuna = connection.execute(
                "select number, state, (select value from trial_values v "
                "where v.trial_id = t.trial_id and objective = 0) from trials t "
                "join studies s on s.study_id = t.study_id where study_name = ? order by number",
                (study,),
            ).fetchall()
        folder = connection.execute(
            "select folder from attentune_studies where name = ?", (study,)
        ).fetchone()
    return StudyContent(tuple(trials), tuple(epochs), tuple(optuna), folder[0] if folder else None)


@dataclass
class Observer(threading.Thread):
    """Reads the database while commands run and die, and remembers what it has seen committed."""

    database: Path
    acknowledged: dict[int, Row] = field(default_factory=dict)
    vanished: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Read again and again."""
        while not self._ended.wait(0.02):
            with contextlib.suppress(sqlite3.Error):
                self.read()

    def read(self) -> None:
        """Compare what is recorded now with what was recorded before."""
        ended = read_content(self.database).ended
        for number, row in self.acknowledged.items():
            if ended.get(number) != row:
                self.vanished.append(f"{row} became {ended.get(number)}")
        self.acknowledged |= ended

    def __enter__(self) -> Observer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def run_reference(study: SmallStudy, folder: Path, patches: Patches | None = None) -> StudyContent:
    """What an undisturbed run of the study records."""
    folder.mkdir(parents=True, exist_ok=True)
    ended = launcher().run(*study.search, cwd=folder, patches=patches)
    content = read_content(folder / "attentune.db")
    if ended.code != 0 or len(content.ended) != study.trials:
        raise RuntimeError(f"the undisturbed study failed: {ended.shown}")
    return content


def resume_until_done(
    attempt: Attempt, study: SmallStudy, patches: Patches | None = None, *, runs: int = 3
) -> Ended:
    """Resume, as a user would, until the study is complete; report what goes wrong.

    If the study does not exist yet, because the search was killed before, it is started again.

    Args:
        attempt: whose folder has the database.
        study: its settings.
        patches: of the commands.
        runs: after so many the study has to be complete.
    """
    folder = attempt.folder
    for _ in range(runs):
        words: tuple[str, ...] = ("resume", STUDY, "--trials", str(study.trials))
        ended = launcher().run(*words, cwd=folder, patches=patches)
        if ended.code in (1, 2) and re.search(
            r"no database|holds no|no attentune studies|there is no study", ended.out + ended.error
        ):
            if read_content(folder / "attentune.db").trials:
                attempt.lost(f"the study is gone: {ended.shown}")
            ended = launcher().run(*study.search, cwd=folder, patches=patches)
        if not check_stated(attempt, ended):
            return ended
        if ended.code == 0:
            return ended
    attempt.wrong(f"not complete after {runs} runs: {ended.shown}")
    return ended


def check_study(
    attempt: Attempt,
    study: SmallStudy,
    acknowledged: dict[int, Row],
    reference: StudyContent | None = None,
    *,
    sealed: bool = True,
) -> None:
    """Report whatever is lost or wrong in a study that is complete.

    Args:
        attempt: whose folder has the database.
        study: its settings.
        acknowledged: the results that were seen during the attack, by number.
        reference: the study without the attack; equal to the last bit with one worker.
        sealed: whether nobody else has the database open, so it has to be one file.
    """
    folder = attempt.folder
    if sealed and (beside := [path.name for path in folder.glob("attentune.db-*")]):
        attempt.wrong(f"the database is still in several files: {beside}")
    content = read_content(folder / "attentune.db")
    for number, row in acknowledged.items():
        if content.ended.get(number) != row:
            attempt.lost(f"acknowledged {row}, now {content.ended.get(number)}")
    if len(content.ended) != study.trials or len(content.trials) != study.trials:
        states = Counter(row[4] for row in content.trials)
        attempt.wrong(f"{study.trials} trials were asked for, there are {dict(states)}")
    pairs = Counter((row[2], row[3]) for row in content.trials if row[4] != "failed")
    if repeated := {pair: count for pair, count in pairs.items() if count > 1}:
        attempt.wrong(f"trained more than once: {repeated}")
    if failed := [row for row in content.trials if row[4] == "failed"]:
        attempt.wrong(f"failed: {failed}")
    for row in content.ended.values():
        if content.curve(row[0]) != [*range(1, row[6] + 1)]:
            attempt.wrong(f"the curve of trial {row[0]} is {content.curve(row[0])}")
    check_optuna(attempt, content)
    check_database(attempt, folder)
    check_files(attempt, folder, content)
    if reference is not None:
        check_equal(attempt, study, content, reference)


def check_equal(
    attempt: Attempt, study: SmallStudy, content: StudyContent, reference: StudyContent
) -> None:
    """Report differences between a study and the same one without an attack.

    Args:
        attempt: that is checked.
        study: its settings; the order of trials is fixed only with one worker.
        content: after the attack.
        reference: without it.
    """
    results = {(row[2], row[3], row[6]): row[5] for row in reference.trials}
    for row in content.trials:
        expected = results.get((row[2], row[3], row[6]))
        if expected is not None and row[5] != expected:
            attempt.wrong(f"trial {row[0]} has accuracy {row[5]} in place of {expected}")
    if study.workers > 1:
        return
    for name in ("trials", "epochs", "optuna"):
        ours, theirs = set(getattr(content, name)), set(getattr(reference, name))
        if ours != theirs:
            difference = f"{sorted(ours - theirs)[:3]} in place of {sorted(theirs - ours)[:3]}"
            attempt.wrong(f"{name} differ from an undisturbed run: {difference}")


def check_optuna(attempt: Attempt, content: StudyContent) -> None:
    """Report trials of which Optuna knows another state or value than attentune."""
    states = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "running": "RUNNING"}
    known = {row[0]: row for row in content.optuna}
    for row in content.trials:
        number, state, accuracy = row[0], row[4], row[5]
        if number not in known:
            attempt.wrong(f"Optuna does not know trial {number}, which is {state}")
            continue
        _, optuna_state, value = known[number]
        if optuna_state != states[state]:
            attempt.wrong(f"trial {number} is {state}, in Optuna {optuna_state}")
        elif state == "complete" and value != accuracy:
            attempt.wrong(f"trial {number} has accuracy {accuracy}, in Optuna {value}")


def check_database(attempt: Attempt, folder: Path) -> None:
    """Report a damaged database, and leases that were left."""
    with reading(folder / "attentune.db") as connection:
        integrity = [row[0] for row in connection.execute("pragma integrity_check")]
        if integrity != ["ok"]:
            attempt.wrong(f"integrity_check says {integrity}")
        if broken := connection.execute("pragma foreign_key_check").fetchall():
            attempt.wrong(f"foreign_key_check says {broken}")
        if leases := connection.execute("select * from attentune_leases").fetchall():
            attempt.wrong(f"leases are left: {leases}")


def check_files(attempt: Attempt, folder: Path, content: StudyContent) -> None:
    """Report missing weights, and checkpoints and drafts of trials that have ended.

    Args:
        attempt: that is checked.
        folder: of the database.
        content: of the study.
    """
    artifacts = folder / "attentune.artifacts" / str(content.folder)
    files = [path for path in artifacts.rglob("*") if path.is_file()]
    for row in content.trials:
        weights = list(artifacts.glob(f"trial-{row[0]:05d}/{WEIGHTS_FILE}"))
        if row[4] == "complete" and len(weights) != 1:
            attempt.lost(f"trial {row[0]} is complete and has {len(weights)} files of weights")
        if row[4] == "complete":
            check_predictions(attempt, artifacts / f"trial-{row[0]:05d}" / PREDICTIONS_FILE, row)
    left = [path for path in files if path.name == CHECKPOINT_FILE or path.name.startswith(".")]
    if left:
        attempt.wrong(f"files are left: {[str(path.relative_to(artifacts)) for path in left]}")


def check_predictions(attempt: Attempt, path: Path, row: Row) -> None:
    """Report a complete trial whose accuracy does not follow from its predictions.

    Args:
        attempt: that is checked.
        path: of the predictions.
        row: of the trial, as in a `StudyContent`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            accuracy = float((file["predicted"] == file["labels"]).mean())
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        attempt.lost(f"trial {row[0]} is complete and has no predictions: {error}")
        return
    if accuracy != row[5]:
        attempt.wrong(f"trial {row[0]} has accuracy {row[5]}, and {accuracy} by its predictions")


def check_no_process(attempt: Attempt, session: int) -> None:
    """Report processes that live on after their coordinator."""
    ends = time.monotonic() + SECONDS_TO_DIE
    while living := processes_of_session(session):
        if time.monotonic() > ends:
            attempt.unstated(f"still running: {living}")
            return
        time.sleep(0.02)
