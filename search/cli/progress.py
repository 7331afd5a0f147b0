"""What a search shows while it runs: a live display on a terminal, plain lines elsewhere.

The display is a callback of the coordinator, and independent of workers and databases.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...sanitize import clean_text
from ...studies.alternatives import alternative_kind
from ...studies.analysis.best import best_of_table
from ...studies.analysis.findings import ArchitectureSummary
from ...studies.analysis.trial_table import TrialTable
from ...studies.records import BASELINE, TrialRecord, is_confirming
from ...studies.text import formatting
from ...studies.text.alternatives import job_title
from ...studies.text.metric_format import MetricFormat
from ..run.callback import Callback, RunningStudy, RunningTrial, RunOutcome
from ..run.confirm import FRESH_SEED_OFFSET


@contextlib.contextmanager
def decoding_progress(console: Console, activity: str) -> Iterator[Callable[[int, int], None]]:
    """What goes on and for how long, with a bar while images are decoded; on a terminal.

    The function that it yields takes the number of images done and the total.

    Args:
        console: where to show it.
        activity: what goes on.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as bars:
        bars.add_task(activity, total=None)
        decoding = bars.add_task("decoding images", total=None, visible=False)

        def update(done: int, total: int) -> None:
            bars.update(decoding, completed=done, total=total, visible=done < total)

        yield update


MAX_SHOWN_MESSAGE_LENGTH = 500


class LiveDisplay(Callback):
    """Shows a running study: prints the trials that end; on a terminal, also shows running ones."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()
        self.ended_trials = 0
        self._trials = TrialTable()
        self._best: ArchitectureSummary | None = None
        self._best_is_known = False
        self._live: Live | None = None
        self._form = MetricFormat()
        self._epoch_starts: dict[int, tuple[int, float]] = {}

    def on_study_start(self, study: RunningStudy) -> None:
        """Add earlier results, and start the live part if the console is a terminal."""
        self.study, self._form = study, MetricFormat(study.config.metric)
        self.started = time.monotonic()
        for record in study.earlier:
            self._add_result(record)
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=4, transient=True)
            self._live.start(refresh=True)

    def on_trial_end(self, trial: RunningTrial, record: TrialRecord) -> None:
        """Print the result."""
        if trial.counts:
            self.ended_trials += 1
            self._add_result(record)
        if record.failure is not None:
            failure = record.failure
            self._print(trial, f"[red]failed[/] ({failure.kind}) ", failure.message)
        elif record.state == "pruned":
            self._print(trial, "[dim]pruned[/] ", record.note or "")
        else:
            self._print(trial, self._result_text(record))

    def on_trial_rejected(self, trial: RunningTrial, reason: str) -> None:
        """Print which limit is exceeded."""
        self._print(trial, "[yellow]rejected[/] ", reason)

    def on_trial_interrupted(self, trial: RunningTrial, reason: str | None) -> None:
        """Print why a worker was lost; print nothing if the study is being stopped."""
        if reason is not None:
            epoch = trial.last_report.epoch if trial.last_report else 0
            self._print(trial, f"[yellow]continues from epoch {epoch}[/] ", reason)

    def on_stop_requested(self) -> None:
        """Confirm that the study is being stopped."""
        self.console.print(
            Text(
                "Stopping after the running epochs, which are saved. "
                "Press Ctrl-C again to stop immediately.",
                style="yellow",
            )
        )

    def on_study_end(self, outcome: RunOutcome) -> None:
        """Remove the live part."""
        del outcome
        if self._live is not None:
            self._live.stop()

    def __rich__(self) -> RenderableType:
        """The live part: progress, the best so far, the running trials."""
        return Group(self._progress_bar(), self._best_line(), self._running_trials())

    @property
    def time_left(self) -> float | None:
        """Seconds to the end of the plan at the pace so far; None if there is no estimate yet."""
        left = None
        if self.ended_trials:
            pace = (time.monotonic() - self.started) / self.ended_trials
            left = pace * max(0, self.study.plan.trials - self.study.done)
        if math.isfinite(budget_left := self.study.seconds_left):
            left = budget_left if left is None else min(left, budget_left)
        return left

    def _add_result(self, record: TrialRecord) -> None:
        """Add the result of a trial, from which the best so far follows."""
        if record.state not in ("complete", "pruned"):
            return
        self._trials.add([record])
        self._best_is_known = False

    def _result_text(self, record: TrialRecord) -> str:
        seconds = formatting.duration(record.seconds or 0.0)
        note = " [dim]baseline[/]" if record.role == BASELINE else ""
        if record.alternative is not None:
            note = " [dim]alternative[/]"
        return f"[bold]{self._form.value(record.score):>7}[/] {seconds:>6}{note} "

    def _print(self, trial: RunningTrial, markup: str, message: str = "") -> None:
        done, total = self.study.done, self.study.plan.trials
        text = Text.from_markup(f"[dim]{done:>{len(str(total))}}/{total}[/] ")
        if trial.counts and not is_confirming(trial.role):
            text.append(f"#{trial.number:<3} ")
        text.append(Text.from_markup(markup))
        text.append(self._trial_name(trial))
        if message:
            text.append(f": {clean_text(message, MAX_SHOWN_MESSAGE_LENGTH)}")
        self.console.print(text, soft_wrap=True)

    def _trial_name(self, trial: RunningTrial) -> str:
        seed, first = trial.job.seed, self.study.config.seed
        name = self._network_name(trial)
        if is_confirming(trial.role):
            return f"{name} (fresh seed {seed - first - FRESH_SEED_OFFSET + 1})"
        return name if seed == first else f"{name} (seed {seed})"

    def _network_name(self, trial: RunningTrial) -> str:
        """What is trained: an architecture of the space, or an alternative to attention."""
        kind = alternative_kind(trial.role)
        if kind is None:
            return formatting.short_architecture(trial.architecture)
        return job_title(kind, trial.architecture.backbone, trial.job.recipe)

    def _progress_bar(self) -> RenderableType:
        done, total = self.study.done, self.study.plan.trials
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1)
        row.add_column(justify="right", no_wrap=True)
        left = self.time_left
        ending = f"{formatting.duration(left)} left" if left is not None else "estimating…"
        if self.study.stopping:
            ending = "stopping…"
        bar = ProgressBar(total=total, completed=min(done, total))
        row.add_row(bar, f"{done}/{total} trials · {ending}")
        return row

    @property
    def best(self) -> ArchitectureSummary | None:
        """The best architecture so far; None before the first result."""
        if not self._best_is_known:
            self._best, self._best_is_known = best_of_table(self._trials, self.study.model), True
        return self._best

    def _best_line(self) -> RenderableType:
        best = self.best
        if best is None:
            return Text("no result yet", style="dim")
        line = Text(
            f"best {self._form.value(best.score, best.standard_error)}",
            style="bold",
            no_wrap=True,
            overflow="ellipsis",
        )
        if best.gain is not None:
            gain = self._form.gain(best.gain, best.gain_error)
            line.append(f"  {gain} over the bare backbone", "not bold green")
        line.append(f"  {formatting.short_architecture(best.architecture)}", "not bold")
        return line

    def _running_trials(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(justify="right", style="dim", no_wrap=True)
        table.add_column(no_wrap=True, min_width=len("epoch 10/10"))
        table.add_column(justify="right", style="dim", no_wrap=True, min_width=len("12 min"))
        table.add_column(justify="right", no_wrap=True, min_width=len("99.9 %"))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for number, trial in sorted(self.study.running.items()):
            report = trial.last_report
            table.add_row(
                f"#{number}" if trial.counts and not is_confirming(trial.role) else "",
                f"epoch {report.epoch if report else 0}/{trial.job.recipe.epochs}",
                formatting.duration(self._seconds_in_epoch(trial)),
                self._form.value(report.score if report else None),
                Text(self._trial_name(trial), no_wrap=True, overflow="ellipsis"),
            )
        return table

    def _seconds_in_epoch(self, trial: RunningTrial) -> float:
        """The time since a trial began, or since its last epoch was first seen."""
        done = trial.last_report.epoch if trial.last_report else 0
        seen, start = self._epoch_starts.get(trial.number, (0, trial.started))
        if seen != done or start < trial.started:
            start = time.monotonic() if done else trial.started
            self._epoch_starts[trial.number] = done, start
        return time.monotonic() - start
