"""What a search shows while it runs: a live display on a terminal, plain lines elsewhere.

Both are told of events by the coordinator and know nothing of workers or databases.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...runners.events import EpochDone, Event, Failed, Finished, Rejected, Stopped, WorkerDied
from ...spaces.architecture import parse_recorded
from ...studies.records import BASELINE, CONFIRM
from ...studies.text import formatting
from ..run.confirm import FRESH_SEED_OFFSET
from ..run.coordinator import Coordinator, RunningTrial


@contextlib.contextmanager
def decoding(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar for the decoding of pictures, on a terminal; told of (done, in all)."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("decoding pictures", total=None, visible=False)

        def told(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, visible=True)

        yield told


@contextlib.contextmanager
def watching(coordinator: Coordinator, console: Console) -> Iterator[Tally]:
    """A watcher for this console: live if it is a terminal."""
    tally = Tally(coordinator, console)
    if not console.is_terminal:
        yield tally
        return
    with Live(tally, console=console, refresh_per_second=4, transient=True):
        yield tally


@dataclass
class _Line:
    """A running trial as the display shows it."""

    trial: RunningTrial
    epoch: int = 0
    accuracy: float | None = None


class Tally:
    """Keeps count of a running study, prints what ended, and renders what is running."""

    def __init__(self, coordinator: Coordinator, console: Console) -> None:
        self.coordinator, self.console = coordinator, console
        self.lines: dict[int, _Line] = {}
        self.began = time.monotonic()
        self.ended_here = 0
        self.baseline: dict[int, float] = {}
        self.best: tuple[float, str] | None = None
        self._told_to_stop = False
        bare = coordinator.config.backbone
        for record in coordinator.earlier:
            if record.state == "complete" and record.accuracy is not None:
                self._note(record.architecture, record.seed, record.accuracy, bare)

    def trial_started(self, trial: RunningTrial) -> None:
        """A worker has taken the trial."""
        self.lines[trial.number] = _Line(trial)

    def happened(self, trial: RunningTrial, event: Event) -> None:
        """An event of a running trial."""
        line = self.lines.get(trial.number) or _Line(trial)
        match event:
            case EpochDone():
                line.epoch, line.accuracy = event.report.epoch, event.report.accuracy
            case Finished():
                self.ended_here += 1
                text = str(trial.architecture)
                bare = self.coordinator.config.backbone
                self._note(text, trial.job.seed, event.result.accuracy, bare)
                self._say(trial, self._result(trial, event))
            case Failed():
                self.ended_here += 1
                self._say(trial, f"[red]failed[/] ({event.failure.kind}) ", event.failure.message)
            case Stopped() if trial.pruned:
                self.ended_here += 1
                self._say(trial, "[dim]pruned[/] ", trial.pruned)
            case Rejected():
                self._say(trial, "[yellow]rejected[/] ", event.reason)
            case WorkerDied():
                self._say(trial, f"[yellow]goes on from epoch {line.epoch}[/] ", event.reason)
            case _:
                pass
        if trial.number not in self.coordinator.running:
            self.lines.pop(trial.number, None)

    def tick(self) -> None:
        """Say once that an interrupt was understood."""
        if self.coordinator.stopping and not self._told_to_stop:
            self._told_to_stop = True
            self.console.print(
                "[yellow]Stopping: running epochs are finished and saved "
                "(Ctrl-C again ends at once).[/]"
            )

    def __rich__(self) -> RenderableType:
        """The display: progress, the best so far, the running trials."""
        return Group(self._progress(), self._best(), self._running())

    @property
    def time_left(self) -> float | None:
        """Seconds to the end of the plan at the pace so far; None before the first result."""
        plan, done = self.coordinator.plan, self.coordinator.done
        left = None
        if self.ended_here:
            pace = (time.monotonic() - self.began) / self.ended_here
            left = pace * max(0, plan.trials - done)
        if math.isfinite(budget_left := self.coordinator.left):
            left = budget_left if left is None else min(left, budget_left)
        return left

    def _note(self, text: str, seed: int, accuracy: float, bare: str) -> None:
        if text == bare:
            self.baseline[seed] = accuracy
        if self.best is None or accuracy > self.best[0]:
            self.best = (accuracy, text)

    def _gain(self, accuracy: float, seed: int) -> str:
        if seed not in self.baseline:
            return ""
        return f" ({formatting.points(accuracy - self.baseline[seed])})"

    def _result(self, trial: RunningTrial, event: Finished) -> str:
        accuracy, seconds = event.result.accuracy, formatting.duration(event.result.seconds)
        note = " [dim]baseline[/]" if trial.role == BASELINE else ""
        bare = str(trial.architecture) == self.coordinator.config.backbone
        gain = "" if bare else self._gain(accuracy, trial.job.seed)
        return f"[bold]{formatting.percent(accuracy):>7}[/]{gain} {seconds:>6}{note} "

    def _say(self, trial: RunningTrial, markup: str, message: str = "") -> None:
        done, total = self.coordinator.done, self.coordinator.plan.trials
        text = Text.from_markup(f"[dim]{done:>{len(str(total))}}/{total}[/] ")
        if trial.role != CONFIRM:
            text.append(f"#{trial.number:<3} ")
        text.append(Text.from_markup(markup))
        text.append(self._short(trial))
        if message:
            text.append(f": {message}")
        self.console.print(text, soft_wrap=True)

    def _short(self, trial: RunningTrial) -> str:
        seed, first = trial.job.seed, self.coordinator.config.seed
        name = formatting.short_architecture(trial.architecture)
        if trial.role == CONFIRM:
            return f"{name} (fresh seed {seed - first - FRESH_SEED_OFFSET + 1})"
        return name if seed == first else f"{name} (seed {seed})"

    def _progress(self) -> RenderableType:
        done, total = self.coordinator.done, self.coordinator.plan.trials
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1)
        row.add_column(justify="right", no_wrap=True)
        left = self.time_left
        ending = f"{formatting.duration(left)} left" if left is not None else "measuring…"
        if self.coordinator.stopping:
            ending = "stopping…"
        bar = ProgressBar(total=total, completed=min(done, total))
        row.add_row(bar, f"{done}/{total} trials · {ending}")
        return row

    def _best(self) -> RenderableType:
        if self.best is None:
            return Text("no result yet", style="dim")
        accuracy, text = self.best
        line = Text(
            f"best {formatting.percent(accuracy)}", style="bold", no_wrap=True, overflow="ellipsis"
        )
        if self.baseline:
            mean = sum(self.baseline.values()) / len(self.baseline)
            line.append(
                f"  {formatting.points(accuracy - mean)} over the bare backbone", "not bold green"
            )
        line.append(f"  {formatting.short_architecture(parse_recorded(text))}", "not bold")
        return line

    def _running(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(justify="right", style="dim", no_wrap=True)
        table.add_column(no_wrap=True, min_width=len("epoch 10/10"))
        table.add_column(justify="right", no_wrap=True, min_width=len("99.9 %"))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        epochs = self.coordinator.config.recipe.epochs
        for number, line in sorted(self.lines.items()):
            accuracy = formatting.percent(line.accuracy)
            table.add_row(
                "" if line.trial.role == CONFIRM else f"#{number}",
                f"epoch {line.epoch}/{epochs}",
                accuracy,
                Text(self._short(line.trial), no_wrap=True, overflow="ellipsis"),
            )
        return table
