"""How the dashboard takes a hundred thousand trials: first plot, interactions, memory, start.

    python benchmarks/dashboard.py --json benchmarks/results/dashboard.json

Writes a database of synthetic trials (random architectures of four stages, costs, several seeds,
two epochs each), starts `attentune dashboard` on it as a user would, and asks it over HTTP for what
the browser asks: the pages' figures and texts, under many different filters, costs, colourings and
selections, while another process goes on adding trials. Told are the seconds from the start to the
first answer and to the first plot, the milliseconds of the requests, and the server's memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import torch
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.runners.environment import describe_environment
from attentune.runners.results import Costs, EpochReport, TrialResult
from attentune.spaces.architecture import Architecture, parse
from attentune.studies.dashboard.address import Address
from attentune.studies.database.store import Store

NAMES = ("se(r=4)", "se(r=16)", "eca", "cbam(r=8)", "ca(r=8)", "ca(r=32)", "ese", "gct")
POSITIONS = ("residual", "mid", "pre", "post")
STAGES = 4
SEEDS = 2
"""Trials of an architecture, on average."""
FIGURES = ("pareto", "three-objectives", "stages", "positions", "ratios", "main-effects",
           "importances", "hypervolume", "timeline", "learning-curves")  # fmt: skip
TARGETS = {"first plot, s": 5.0, "p99, ms": 300.0, "memory, MiB": 1024.0, "start, s": 2.0}


def texts(draw: random.Random) -> Iterator[str]:
    """Architecture texts, endlessly."""
    while True:
        text = "resnet18"
        for stage in range(1, STAGES + 1):
            if draw.random() < 0.7:
                block = draw.choice(("", "", "b1", "b2"))
                text += f"+{draw.choice(NAMES)}@s{stage}{block}.{draw.choice(POSITIONS)}"
        yield text


def rows(trials: int, study: int) -> tuple[list[Any], list[Any]]:
    """Architectures and trials, as the tables hold them."""
    draw = random.Random(0)
    found: dict[str, str] = {}
    source = texts(draw)
    for text in ["resnet18", *(next(source) for _ in range(trials // SEEDS))]:
        found.setdefault(text, Architecture("x").key)
    known = [(format(place, "012x"), text) for place, text in enumerate(found)]
    now = datetime.now(UTC).replace(tzinfo=None)
    seen: set[tuple[str, int]] = set()
    made: list[Any] = []
    while len(made) < trials:
        place = len(made) if len(made) < len(known) else draw.randrange(len(known))
        key, text = known[place]
        seed = draw.randrange(6) if len(made) >= len(known) else 0
        if (key, seed) in seen:
            continue
        seen.add((key, seed))
        inserted = text.count("+")
        state = (
            "complete" if place == 0 or draw.random() < 0.9 else draw.choice(("pruned", "failed"))
        )
        reached = 0.6 + 0.02 * inserted + draw.gauss(0, 0.03) if state != "failed" else None
        began = now - timedelta(seconds=10 * (trials - len(made)))
        made.append(
            {
                "study_id": study,
                "number": len(made),
                "architecture_key": key,
                "seed": seed,
                "role": "baseline" if place == 0 else "search",
                "state": state,
                "epochs": 2,
                "accuracy": reached,
                "params": 11_000_000 + 40_000 * inserted + draw.randrange(30_000),
                "macs": 550_000_000 + 10**6 * inserted,
                "latency_ms": 5 + 0.3 * inserted + draw.random(),
                "latency_ratio": 1.0,
                "memory_mib": 900.0 + 10 * inserted,
                "seconds": 9.5,
                "device_seconds": 9.0,
                "worker": f"w{len(made) % 4}",
                "started_at": str(began),
                "finished_at": str(began + timedelta(seconds=9.5)),
            }
        )
    return known, made


def fill(path: Path, trials: int) -> None:
    """A database with one study."""
    with Store.open(path, create=True) as store:
        config = {"study": {"stages": STAGES}, "plan": {"trials": 2 * trials}}
        objectives = ("accuracy", "params", "latency")
        record = store.studies.create("many", backbone="resnet18", objectives=objectives,
                                    config=config, seed=0)  # fmt: skip
    known, made = rows(trials, record.id)
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany(
            "insert into attentune_architectures values (?, ?, 'resnet18')", known
        )
        names = list(made[0])
        marks = ", ".join(f":{name}" for name in names)
        connection.executemany(
            f"insert into attentune_trials ({', '.join(names)}) values ({marks})", made
        )
        connection.execute(
            "insert into attentune_epochs (trial_id, epoch, train_loss, accuracy, val_loss, lr,"
            " seconds) select id, e, 1.0, accuracy * (0.8 + 0.1 * e), 1.0, 0.004, 4.5"
            " from attentune_trials, (select 1 as e union select 2)"
        )
    connection.close()


class Browser:
    """Asks what a browser would ask."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.milliseconds: list[float] = []

    def get(self, path: str) -> bytes:
        with urlopen(self.address + path, timeout=60) as answer:
            return bytes(answer.read())

    def draw(self, kind: str, name: str, address: Address, mark: str) -> bytes:
        """One figure or text, by its `kind` and name; its time is kept."""
        identity, key = {"name": name, "slot": kind}, "data" if kind == "figure" else "children"
        output = f'{{"name":["MATCH"],"slot":"{kind}"}}.{key}'
        body = {
            "output": output,
            "outputs": {"id": identity, "property": key},
            "inputs": [
                {"id": "version", "property": "data", "value": mark},
                {"id": "url", "property": "search", "value": address.query},
                {"id": "theme", "property": "data", "value": "light"},
            ],
            "changedPropIds": ["url.search"],
            "state": [],
        }
        return self.timed(body)

    def tick(self) -> str:
        """The question of every second, whether there is news; the mark of what there is."""
        body = {
            "output": "..version.data...status.children..",
            "outputs": [
                {"id": "version", "property": "data"},
                {"id": "status", "property": "children"},
            ],
            "inputs": [
                {"id": "timer", "property": "n_intervals", "value": 1},
                {"id": "url", "property": "search", "value": ""},
            ],
            "changedPropIds": ["tick.n_intervals"],
            "state": [
                {"id": "version", "property": "data", "value": ""},
                {"id": "status", "property": "children", "value": ""},
            ],
        }
        return str(json.loads(self.timed(body))["response"]["version"]["data"])

    def timed(self, body: Any) -> bytes:
        """An answer; its time is kept."""
        began = time.perf_counter()
        found = self.post("/_dash-update-component", body)
        self.milliseconds.append(1000 * (time.perf_counter() - began))
        return found

    def post(self, path: str, body: Any) -> bytes:
        request = Request(
            self.address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=60) as answer:
            return bytes(answer.read())


def views(draw: random.Random) -> Iterator[Address]:
    """Different states of the pages, endlessly."""
    while True:
        yield Address(
            cost=draw.choice(("params", "macs", "latency_ms")),
            third=draw.choice(("macs", "latency_ms")),
            log=draw.random() < 0.5,
            colour=draw.choice(("attention", "position", "ratio", "stage")),
            attention=tuple(draw.sample(("se", "eca", "cbam", "ca"), draw.randrange(3))),
            stage=tuple(draw.sample(("s1", "s2", "s3"), draw.randrange(2))),
            trial=draw.randrange(1000) if draw.random() < 0.5 else None,
        )


def keep_adding(path: Path) -> None:
    """A search that goes on, until it is killed: an epoch every half second, a trial every two."""
    draw = random.Random(1)
    told = describe_environment(torch.device("cpu"), "float32")
    costs = Costs(11_200_000, 600_000_000, latency_ms=6.0)
    result = TrialResult(0.6, 4, costs, 2.0, 2.0, 900.0, told)
    with Store.open(path) as store:
        for number, text in enumerate(texts(draw), 10**7):
            store.trials.start("many", number, parse(text), seed=number)
            for epoch in (1, 2, 3, 4):
                time.sleep(0.5)
                store.epochs.record("many", number, EpochReport(epoch, 1.0, 0.5, 1.0, 0.004, 0.5))
            if number % 2:
                store.trials.prune("many", number, "rung 1: behind its peers", seconds=2.0)
            else:
                store.trials.finish("many", number, result)


def started(path: Path) -> tuple[subprocess.Popen[str], str]:
    """The server, and its address once it answers."""
    command = [sys.executable, "-m", "attentune", "dashboard", "--port", "0", "--db", str(path)]
    compiling = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**compiling, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://localhost:(\d+)/", line):
            return process, f"http://127.0.0.1:{found[1]}"
    raise SystemExit("the server did not start")


def measure(path: Path, options: argparse.Namespace, monitor: LoadMonitor) -> dict[str, Any]:
    warm, _ = started(path)  # Python compiles what it imports for the first time
    warm.terminate()
    warm.wait()
    began = time.perf_counter()
    process, address = started(path)
    try:
        browser = Browser(address)
        browser.get("/")
        start = time.perf_counter() - began
        first_plot = len(browser.draw("figure", "pareto", Address(), "0"))
        seconds = time.perf_counter() - began
        browser.milliseconds.clear()
        for name in FIGURES:  # what takes long is computed in the background
            browser.draw("figure", name, Address(), "0")
        time.sleep(options.warm)
        found = {"at rest": interactions(browser, options, monitor)}
        writer = multiprocessing.get_context("spawn").Process(target=keep_adding, args=(path,))
        writer.start()
        try:
            found["while a search writes"] = interactions(browser, options, monitor)
        finally:
            writer.kill()
            writer.join()
        server = psutil.Process(process.pid)
        memory = sum(p.memory_info().rss for p in (server, *server.children(True))) / 2**20
    finally:
        process.terminate()
        process.wait()
    return {
        "start, s": round(start, 2),
        "first plot, s": round(seconds, 2),
        "first plot, KiB": round(first_plot / 1024),
        "memory, MiB": round(memory),
        "requests": found,
    }


def interactions(
    browser: Browser, options: argparse.Namespace, monitor: LoadMonitor
) -> dict[str, Any]:
    """Quantiles in ms over many requests, of all and of each figure."""
    draw = random.Random(2)
    following = time.monotonic()
    by_name: dict[str, list[float]] = {}
    marks = set()
    for address, _ in zip(views(draw), range(options.rounds), strict=False):
        for kind, name in (
            *(("figure", name) for name in FIGURES),
            ("text", "front"),
            ("text", "summary"),
        ):
            browser.draw(kind, name, address, "0")
            by_name.setdefault(name, []).append(browser.milliseconds[-1])
        if time.monotonic() > following:
            following = time.monotonic() + 1
            marks.add(browser.tick())
            by_name.setdefault("tick", []).append(browser.milliseconds[-1])
        monitor.sample()
    every = sorted(value for values in by_name.values() for value in values)
    return {
        "count": len(every),
        "updates seen": len(marks),
        "p50, ms": round(_quantile(every, 0.5), 1),
        "p99, ms": round(_quantile(every, 0.99), 1),
        "most, ms": round(every[-1], 1),
        "p99 by figure, ms": {n: round(_quantile(sorted(v), 0.99), 1) for n, v in by_name.items()},
    }


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument(
        "--rounds", type=int, default=40, help="states of the pages that are asked for"
    )
    parser.add_argument("--warm", type=float, default=20.0, help="seconds for the background")
    options = parser.parse_args()
    monitor = LoadMonitor.start(anyway=options.anyway)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.db"
        fill(path, options.trials)
        found = measure(path, options, monitor)
    result = {
        "what": "the dashboard's server on synthetic trials, asked over HTTP",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "target": TARGETS,
        "environment": describe_environment(torch.device("cpu"), "float32"),
        "trials": options.trials,
        **found,
    }
    print(json.dumps({k: v for k, v in result.items() if k != "environment"}, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
