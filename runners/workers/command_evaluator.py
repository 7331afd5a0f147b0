"""Runs a user's own training script as a subprocess, and reads the metrics that it reports.

The script finds the trial in its environment: `ATTENTUNE_ARCHITECTURE`, `ATTENTUNE_SEED`,
`ATTENTUNE_EPOCHS`, `ATTENTUNE_DEVICE`, `ATTENTUNE_SPLIT`, `ATTENTUNE_TRIAL` (the number) and
`ATTENTUNE_FOLDER`, which survives an interruption. It reports an epoch, or with `epoch` left out
its result, by a line of JSON after the word ATTENTUNE on its output,

    ATTENTUNE {"epoch": 3, "miou": 0.71, "train_loss": 0.4}

or by the same JSON without that word as a line of the file `ATTENTUNE_METRICS`. A trial that is
stopped gets SIGTERM, and SIGKILL if it goes on for too long.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch

from ...errors import TrialError
from ...sanitize import quote_value
from ..artifacts.trial_folder import shown_path
from ..events import Decision
from ..results import USER_OUTPUT_FILE, Job, TrialResult
from ..user_evaluation import UserEvaluation
from .evaluator import Trial
from .own_evaluation import (
    continue_time,
    files_folder,
    finish_evaluation,
    keep_time,
    measure_own_costs,
)
from .parent_death import BLOCKED_SIGNALS, PR_SET_PDEATHSIG
from .reported_metrics import ReportedMetrics, read_metrics

MARK = "ATTENTUNE"
METRICS_FILE = "metrics.jsonl"
POLL_SECONDS = 0.1
TERMINATION_SECONDS = 30.0
"""Time for a script that was told to stop, in which it can save its state."""
SHOWN_LINES = 8
"""The last lines of a script's output that the message about its failure shows."""
MAX_LINE_LENGTH = 100_000


class CommandEvaluator:
    """Trains with a user's own script; see `Evaluator`.

    Args:
        evaluation: holds the command line.
    """

    def __init__(self, evaluation: UserEvaluation) -> None:
        self.evaluation = evaluation

    def evaluate(self, trial: Trial) -> TrialResult | None:
        """The result that the script reports; None if the trial was stopped."""
        continue_time(trial)
        trial.report_costs(*measure_own_costs(trial.job, trial.device))
        reports = _Reports(trial, self.evaluation)
        folder = files_folder(trial.job)
        with _Script(self.evaluation, trial.job, trial.device, folder) as script:
            for values in script.reports():
                if not reports.take(values):
                    script.stop()
                    keep_time(trial)
                    return None
            code = script.process.wait()
        if code:
            raise TrialError("error", self._describe_failure(code, script))
        metrics = reports.final_metrics()
        if metrics is None:
            example = json.dumps({"epoch": 1, self.evaluation.searched.key: 0.5})
            raise TrialError(
                "invalid",
                f"`{self.evaluation.target}` has ended without reporting a metric; let it print a "
                f"line such as `{MARK} {example}`. Its output is in {script.shown_output}",
            )
        return finish_evaluation(trial, self.evaluation, metrics)

    def _describe_failure(self, code: int, script: _Script) -> str:
        ended = f"ended with exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                ended = f"was ended by {signal.Signals(-code).name}"
        tail = "\n".join(script.last_lines)
        shown = f":\n{tail}" if tail else " without any output"
        whole = f"Its whole output is in {script.shown_output}"
        return f"`{self.evaluation.target}` {ended}{shown}\n{whole}"


class _Reports:
    """Passes on what a script reports, and keeps what its result follows from.

    Args:
        trial: of the worker.
        evaluation: names the metrics.
    """

    def __init__(self, trial: Trial, evaluation: UserEvaluation) -> None:
        self._trial, self._evaluation = trial, evaluation
        self._reported_at = time.perf_counter()
        self._last: ReportedMetrics | None = None
        self._result: ReportedMetrics | None = None

    def take(self, values: Mapping[str, Any]) -> bool:
        """Record a line of the script; returns whether the script may go on."""
        metrics = dict(values)
        epoch = metrics.pop("epoch", None)
        subject = f"`{self._evaluation.target}` reports"
        if epoch is not None:
            subject += f" for epoch {epoch}"
        checked = read_metrics(metrics, self._evaluation, subject)
        if epoch is None:
            earlier = {} if self._result is None else self._result.metrics
            self._result = ReportedMetrics({**earlier, **checked.metrics})
            return True
        last, epochs = self._trial.last_report.epoch, self._trial.job.recipe.epochs
        if isinstance(epoch, bool) or not isinstance(epoch, int) or not 1 <= epoch <= epochs:
            raise TrialError(
                "invalid",
                f"`{self._evaluation.target}` reports epoch {quote_value(epoch)}; epochs are "
                f"counted from 1 to {epochs}, the number in ATTENTUNE_EPOCHS",
            )
        self._last = checked
        if epoch <= last or self._evaluation.searched.key not in checked.metrics:
            return True  # A line with further values of an epoch.
        now = time.perf_counter()
        seconds, self._reported_at = now - self._reported_at, now
        report = checked.epoch_report(epoch, self._evaluation.searched, seconds)
        return self._trial.report(report) is Decision.GO_ON

    def final_metrics(self) -> ReportedMetrics | None:
        """The metrics of the result, or else of the last epoch; None if there are none."""
        if self._last is None and self._result is None:
            return None
        parts = [part.metrics for part in (self._last, self._result) if part is not None]
        return ReportedMetrics({name: value for part in parts for name, value in part.items()})


class _Script:
    """A running script, and what it prints and writes.

    Args:
        evaluation: the command line, and the folder to run it in.
        job: the trial.
        device: where it should train.
        folder: for the files of the trial.
    """

    def __init__(
        self, evaluation: UserEvaluation, job: Job, device: torch.device, folder: Path
    ) -> None:
        self.output, self._metrics_file = folder / USER_OUTPUT_FILE, folder / METRICS_FILE
        self.last_lines: deque[str] = deque(maxlen=SHOWN_LINES)
        self.shown_output = shown_path(job, self.output)
        self._metrics_file.write_bytes(b"")
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._offset = 0
        try:
            self.process = subprocess.Popen(
                evaluation.words,
                cwd=evaluation.folder,
                env={**os.environ, **self._variables(job, device, folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_worker if sys.platform != "win32" else None,
            )
        except (OSError, ValueError) as error:
            raise TrialError(
                "invalid",
                f"`{evaluation.target}` cannot be started in {evaluation.folder}: {error}",
            ) from error
        self._reader = threading.Thread(target=self._read, name="read-script", daemon=True)
        self._reader.start()

    def _variables(self, job: Job, device: torch.device, folder: Path) -> dict[str, str]:
        values = {
            "ARCHITECTURE": job.architecture,
            "DEVICE": device,
            "EPOCHS": job.recipe.epochs,
            "FOLDER": folder,
            "METRICS": self._metrics_file,
            "SEED": job.seed,
            "SPLIT": "test" if job.test else "validation",
            "TRIAL": job.number,
        }
        return {f"{MARK}_{name}": str(value) for name, value in values.items()}

    def __enter__(self) -> _Script:
        """The script."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, with all processes that it has started."""
        self._kill_group()
        self.process.wait()
        self._reader.join(timeout=1.0)
        if self.process.stdout is not None and not self._reader.is_alive():
            self.process.stdout.close()

    def reports(self) -> Iterator[dict[str, Any]]:
        """What the script reports, until it ends."""
        ended = False
        while not ended:
            try:
                line = self._lines.get(timeout=POLL_SECONDS)
            except queue.Empty:
                line = ""
                ended = self.process.poll() is not None and not self._reader.is_alive()
            if line is None:
                ended = True
            elif line:
                yield from _parse(line)
            yield from self._read_file()
        while not self._lines.empty():
            if line := self._lines.get():
                yield from _parse(line)
        yield from self._read_file()

    def stop(self) -> None:
        """Tell the script to stop, and wait for its end."""
        self._signal_group(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(TERMINATION_SECONDS)

    def _read(self) -> None:
        """Copy the output to a file, and pass on the lines that report something."""
        stream = self.process.stdout
        assert stream is not None
        with self.output.open("ab") as copy:
            while data := stream.readline(MAX_LINE_LENGTH):
                copy.write(data)
                copy.flush()
                line = data.decode(errors="replace").strip()
                if line:
                    self.last_lines.append(line)
                if line.startswith(f"{MARK} "):
                    self._lines.put(line.removeprefix(MARK).strip())
        self._lines.put(None)

    def _read_file(self) -> Iterator[dict[str, Any]]:
        """What was added to the file of metrics, as far as its lines are complete."""
        with contextlib.suppress(OSError):
            with self._metrics_file.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            complete = data[: data.rfind(b"\n") + 1]
            self._offset += len(complete)
            for line in complete.decode(errors="replace").splitlines():
                if line.strip():
                    yield from _parse(line)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)
            else:
                self.process.terminate()

    def _kill_group(self) -> None:
        if hasattr(os, "killpg"):
            self._signal_group(signal.SIGKILL)
            return
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
        self.process.kill()


def _parse(line: str) -> Iterator[dict[str, Any]]:
    """The report in a line of JSON.

    Raises:
        TrialError: it is no JSON object.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise TrialError(
            "invalid",
            f"the script reports {quote_value(line)}, which is no JSON object such as "
            '{"epoch": 1, "miou": 0.5}',
        )
    yield values


def _end_with_worker() -> None:
    """In the script's process: end when the worker ends, and receive signals again."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_SIGNALS)
    for number in BLOCKED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
