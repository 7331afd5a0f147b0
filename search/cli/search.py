"""search, resume: start a study, or go on with one."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from ...studies.database.store import Store
from ...studies.records import StudyRecord
from ..setup.units import seconds
from .shared import Db, Study, messages_on, out
from .summary import print_summary


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(search)
    app.command()(resume)


def search(
    study: Annotated[str, typer.Argument(help="A name for the study.")],
    backbone: Annotated[
        str | None, typer.Option(help="A timm model, such as resnet18.", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="cued-digits, cluttered-digits, digits; a folder of class folders or an archive "
            "of one; or a timm data set such as torch/cifar10.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with any of these settings; flags win.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="quick, where, full, or a TOML file. Default: quick.")
    ] = None,
    attention: Annotated[
        list[str] | None, typer.Option(help="Allowed attentions, instead of the space's.")
    ] = None,
    ratio: Annotated[
        list[int] | None, typer.Option(help="Allowed reduction ratios, instead of the space's.")
    ] = None,
    position: Annotated[
        list[str] | None, typer.Option(help="Allowed positions, instead of the space's.")
    ] = None,
    granularity: Annotated[
        str | None, typer.Option(help="network, stage or block, instead of the space's.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="identity or paper: how a module begins.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help="accuracy, params, macs, latency, memory. Default: accuracy and params."),
    ] = None,
    max_params: Annotated[str | None, typer.Option(help="At most so many parameters: 5M.")] = None,
    max_macs: Annotated[str | None, typer.Option(help="At most so many MACs: 2G.")] = None,
    max_latency: Annotated[str | None, typer.Option(help="At most this latency: 8ms.")] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="At most this training memory: 2GiB.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="additive, tpe, nsga2, nsga3, gp, qmc, random or grid; auto chooses by the size "
            "of the space. Default: auto."
        ),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(
            help="front: stop what will hardly be on the front; asha: all but the best third. "
            "front:chance=0.2 changes a setting. Default: none."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the study. Default: 0.")] = None,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all, baselines too. Default: 40.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Wall time in all: 2h, 90m.")] = None,
    device_budget: Annotated[
        str | None, typer.Option(help="Time that all devices together may be busy: 8h.")
    ] = None,
    trial_timeout: Annotated[
        str | None, typer.Option(help="Longest time for a single trial: 30m.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Trials at once. Default: one a core on CPU.")
    ] = None,
    workers_per_gpu: Annotated[
        str | None,
        typer.Option(help="Trials at once a GPU; auto measures whether 2 or 4 pay. Default: auto."),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="local: processes on this machine. Default: local.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps. Default: auto.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of a trial. Default: 8.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the pictures, pixels. Default: from the data.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step. Default: 128.")] = None,
    stem: Annotated[
        str | None, typer.Option(help="auto, native, or small for tiny pictures. Default: auto.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="scratch or pretrained. Default: scratch.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw or sgd. Default: adamw.")] = None,
    lr: Annotated[
        str | None,
        typer.Option(help="Peak learning rate; auto tunes it on the bare backbone. Default: auto."),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="wsd, onecycle or constant. Default: wsd.")
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            help="Part of the steps in which the rate rises. Default: 0.05, onecycle 0.25."
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Label smoothing. Default: 0.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, bf16, or auto: what is faster. Default: auto.")
    ] = None,
    memory_format: Annotated[
        str | None,
        typer.Option(help="channels_last, contiguous, or auto: what is faster. Default: auto."),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Mirror pictures. Default: from the data."),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(help="Shift pictures by up to so many pixels. Default: from the data."),
    ] = None,
    cutout: Annotated[
        int | None, typer.Option(help="Cover a square of so many pixels. Default: 0.")
    ] = None,
    mirror: Annotated[
        bool | None,
        typer.Option("--mirror/--no-mirror", help="Evaluate with mirror images. Default: no."),
    ] = None,
    cuda_graph: Annotated[
        bool | None,
        typer.Option(
            "--cuda-graph/--no-cuda-graph", help="Capture training steps on a GPU. Default: yes."
        ),
    ] = None,
    train_limit: Annotated[
        int | None, typer.Option(help="Use at most so many training pictures.")
    ] = None,
    val_fraction: Annotated[
        float | None, typer.Option(help="Share of the training pictures held out. Default: 0.2.")
    ] = None,
    skip_broken: Annotated[
        bool | None, typer.Option("--skip-broken", help="Leave out pictures that do not decode.")
    ] = None,
    db: Db = None,
) -> None:
    """Start a study: search for the best attention, ratio and place."""
    flags = {k: v for k, v in locals().items() if k not in ("study", "config", "db")}
    from ..run.session import create_study
    from ..setup.request import read_request
    from .progress import decoding

    request = read_request({k: v or None if v == [] else v for k, v in flags.items()}, config)
    with messages_on(out), Store.open(db, create=True) as store:
        with decoding(out) as progress:
            command = shlex.join(["attentune", *sys.argv[1:]])
            record = create_study(store, study, request, progress, command)
        _run(store, record, db)


def resume(
    study: Study,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all, those already run included.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Wall time in all, earlier runs included: 2h.")
    ] = None,
    device_budget: Annotated[
        str | None, typer.Option(help="Device time in all, earlier runs included: 8h.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at once.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    db: Db = None,
) -> None:
    """Go on exactly where a study stopped; unfinished trials from their last epoch."""
    from ..run.session import update_plan

    with Store.open(db) as store:
        record = update_plan(
            store,
            store.study(study),
            trials=trials,
            budget=None if budget is None else seconds(budget),
            device_budget=None if device_budget is None else seconds(device_budget),
            workers=workers,
            device=device,
        )
        _run(store, record, db)


def _run(store: Store, record: StudyRecord, db: str | None) -> None:
    from ..run.session import run_study
    from .progress import watching

    commands = StudyCommands(record.name, db)
    try:
        ending = run_study(store, record, lambda coordinator: watching(coordinator, out))
    except KeyboardInterrupt:
        commands.interrupted(
            "Ended at once; finished trials are saved, running ones go on from their last "
            "checkpoint."
        )
    if not ending.finished:
        commands.interrupted(f"Stopped after {ending.trials} trials; everything is saved.")
    print_summary(store, record)
    if not any(trial.state == "complete" for trial in store.trials(record)):
        raise typer.Exit(1)
    commands.next_steps()


@dataclass(frozen=True)
class StudyCommands:
    """Commands that are printed for a study; the user can copy and run them as they are."""

    study: str
    db: str | None

    def command(self, verb: str, rest: str = "") -> str:
        """`attentune VERB STUDY REST`, with the database if one was given."""
        words = ["attentune", verb, shlex.quote(self.study), rest]
        words += ["--db", shlex.quote(self.db)] if self.db else []
        return " ".join(filter(None, words))

    def interrupted(self, how: str, verb: str = "resume", console: Console = out) -> NoReturn:
        """Say how to go on, and leave."""
        line = f"{how} Go on with:\n  {self.command(verb)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130)

    def next_steps(self) -> None:
        """What one does with a finished study."""
        steps = (
            (self.command("report", "-o report.html"), "look at the trade-offs"),
            (self.command("confirm"), "test it with fresh seeds"),
            (self.command("export", "--pick knee -o model"), "take a model along"),
            (self.command("resume", "--trials 100"), "search on"),
        )
        width = max(52, *(len(command) for command, _ in steps))
        out.print("\nNext:", style="bold")
        for command, why in steps:
            line = f"  {command:<{width}} {why}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
