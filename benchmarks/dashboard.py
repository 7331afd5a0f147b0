"""Measure the dashboard with a hundred thousand trials: start, first plot, requests, memory.

    python benchmarks/dashboard.py --json benchmarks/results/dashboard.json

A database of synthetic trials is written (random architectures of four stages, costs, several
seeds, two epochs each), and `attentune dashboard` is started on it. Then the requests of a browser
are sent over HTTP: for figures and texts of the pages, with many different filters, costs, colours
and selections, first while the database does not change and then while another process adds trials.
The result has the seconds until the server answers and until the first plot, the milliseconds of
the requests, the server's memory, the machine, versions and numbers of requests.
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
from attentune.spaces.architecture import parse
from attentune.studies.dashboard.address import Address
from attentune.studies.database.store import Store

NAMES = ("se(r=4)", "se(r=16)", "eca", "cbam(r=8)", "ca(r=8)", "ca(r=32)", "ese", "gct")
POSITIONS = ("residual", "mid", "pre", "post")
STAGES = 4
TRIALS_PER_ARCHITECTURE = 2
"""Average number of trials of an architecture."""
FIGURES = ("pareto", "three-objectives", "stages", "positions", "ratios", "main-effects",
           "importances", "hypervolume", "timeline", "learning-curves")  # fmt: skip
TARGETS = {"first plot, s": 5.0, "p99, ms": 300.0, "memory, MiB": 1024.0, "start, s": 2.0}


def generate_architectures(draw: random.Random) -> Iterator[str]:
    """Yield random architecture texts, infinitely many."""
    while True:
        text = "resnet18"
        for stage in range(1, STAGES + 1):
            if draw.random() < 0.7:
                block = draw.choice(("", "", "b1", "b2"))
                text += f"+{draw.choice(NAMES)}@s{stage}{block}.{draw.choice(POSITIONS)}"
        yield text


def make_rows(trials: int, study: int) -> tuple[list[Any], list[Any]]:
    """Rows of the tables of architectures and of trials."""
    draw = random.Random(0)
    source = generate_architectures(draw)
    texts = ["resnet18", *(next(source) for _ in range(trials // TRIALS_PER_ARCHITECTURE))]
    architectures = list({parse(text).key: text for text in texts}.items())
    now = datetime.now(UTC).replace(tzinfo=None)
    seen: set[tuple[str, int]] = set()
    rows: list[Any] = []
    while len(rows) < trials:
        is_first = len(rows) < len(architectures)
        index = len(rows) if is_first else draw.randrange(len(architectures))
        key, text = architectures[index]
        seed = 0 if is_first else draw.randrange(6)
        if (key, seed) in seen:
            continue
        seen.add((key, seed))
        insertions = text.count("+")
        state = (
            "complete" if index == 0 or draw.random() < 0.9 else draw.choice(("pruned", "failed"))
        )
        accuracy = 0.6 + 0.02 * insertions + draw.gauss(0, 0.03) if state != "failed" else None
        began = now - timedelta(seconds=10 * (trials - len(rows)))
        rows.append(
            {
                "study_id": study,
                "number": len(rows),
                "architecture_key": key,
                "seed": seed,
                "role": "baseline" if index == 0 else "search",
                "state": state,
                "epochs": 2,
                "accuracy": accuracy,
                "params": 11_000_000 + 40_000 * insertions + draw.randrange(30_000),
                "macs": 550_000_000 + 10**6 * insertions,
                "latency_ms": 5 + 0.3 * insertions + draw.random(),
                "latency_ratio": 1.0,
                "memory_mib": 900.0 + 10 * insertions,
                "seconds": 9.5,
                "device_seconds": 9.0,
                "worker": f"w{len(rows) % 4}",
                "started_at": str(began),
                "finished_at": str(began + timedelta(seconds=9.5)),
            }
        )
    return architectures, rows


def write_database(path: Path, trials: int) -> None:
    """Write a database with one study."""
    with Store.open(path, create=True) as store:
        config = {"study": {"stages": STAGES}, "plan": {"trials": 2 * trials}}
        objectives = ("accuracy", "params", "latency")
        record = store.studies.create("many", backbone="resnet18", objectives=objectives,
                                    config=config, seed=0)  # fmt: skip
    architectures, trial_rows = make_rows(trials, record.id)
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany(
            "insert into attentune_architectures values (?, ?, 'resnet18')", architectures
        )
        names = list(trial_rows[0])
        marks = ", ".join(f":{name}" for name in names)
        connection.executemany(
            f"insert into attentune_trials ({', '.join(names)}) values ({marks})", trial_rows
        )
        connection.execute(
            "insert into attentune_epochs (trial_id, epoch, train_loss, accuracy, val_loss, lr,"
            " seconds) select id, e, 1.0, accuracy * (0.8 + 0.1 * e), 1.0, 0.004, 4.5"
            " from attentune_trials, (select 1 as e union select 2)"
        )
    connection.close()


class Browser:
    """Sends the requests of a browser, and records their times."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.milliseconds: list[float] = []

    def get(self, path: str) -> bytes:
        with urlopen(self.address + path, timeout=60) as response:
            return bytes(response.read())

    def request_figure(self, kind: str, name: str, address: Address, mark: str) -> bytes:
        """Request a figure or a text.

        Args:
            kind: `figure` or `text`.
            name: of the figure or text.
            address: filters, costs and selections.
            mark: version of the data that the page shows.
        """
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
        return self.post_timed(body)

    def request_version(self) -> str:
        """The request that a page sends every second; the current version of the data."""
        body = {
            "output": "..version.data...status.children...status.className..",
            "outputs": [
                {"id": "version", "property": "data"},
                {"id": "status", "property": "children"},
                {"id": "status", "property": "className"},
            ],
            "inputs": [
                {"id": "timer", "property": "n_intervals", "value": 1},
                {"id": "url", "property": "search", "value": ""},
            ],
            "changedPropIds": ["timer.n_intervals"],
            "state": [
                {"id": "version", "property": "data", "value": ""},
                {"id": "status", "property": "children", "value": ""},
            ],
        }
        return str(json.loads(self.post_timed(body))["response"]["version"]["data"])

    def post_timed(self, body: Any) -> bytes:
        """Post a request, and record its time; the response."""
        began = time.perf_counter()
        response = self.post("/_dash-update-component", body)
        self.milliseconds.append(1000 * (time.perf_counter() - began))
        return response

    def post(self, path: str, body: Any) -> bytes:
        request = Request(
            self.address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=60) as response:
            return bytes(response.read())


def generate_addresses(draw: random.Random) -> Iterator[Address]:
    """Yield random states of the pages, infinitely many."""
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


def add_trials_forever(path: Path) -> None:
    """Add an epoch every half second and a trial every two seconds, until the process is killed."""
    draw = random.Random(1)
    environment = describe_environment(torch.device("cpu"), "float32")
    costs = Costs(11_200_000, 600_000_000, latency_ms=6.0)
    result = TrialResult(0.6, 4, costs, 2.0, 2.0, 900.0, environment)
    with Store.open(path) as store:
        for number, text in enumerate(generate_architectures(draw), 10**7):
            store.trials.start("many", number, parse(text), seed=number)
            for epoch in (1, 2, 3, 4):
                time.sleep(0.5)
                store.epochs.record("many", number, EpochReport(epoch, 1.0, 0.5, 1.0, 0.004, 0.5))
            if number % 2:
                store.trials.prune("many", number, "rung 1: behind its peers", seconds=2.0)
            else:
                store.trials.finish("many", number, result)


def start_server(path: Path) -> tuple[subprocess.Popen[str], str]:
    """Start the server; its process, and its address once it answers."""
    command = [sys.executable, "-m", "attentune", "dashboard", "--port", "0", "--db", str(path)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**environment, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"http://localhost:(\d+)/", line):
            return process, f"http://127.0.0.1:{match[1]}"
    raise SystemExit("the server did not start")


def measure(path: Path, options: argparse.Namespace, monitor: LoadMonitor) -> dict[str, Any]:
    """Measure a server on the database at `path`."""
    warm, _ = start_server(path)  # Python compiles modules when they are first imported.
    warm.terminate()
    warm.wait()
    began = time.perf_counter()
    process, address = start_server(path)
    try:
        browser = Browser(address)
        browser.get("/")
        start = time.perf_counter() - began
        first_plot = len(browser.request_figure("figure", "pareto", Address(), "0"))
        seconds = time.perf_counter() - began
        browser.milliseconds.clear()
        for name in FIGURES:  # This starts slow computations in the background.
            browser.request_figure("figure", name, Address(), "0")
        time.sleep(options.warm)
        requests = {"at rest": measure_requests(browser, options, monitor)}
        writer = multiprocessing.get_context("spawn").Process(
            target=add_trials_forever, args=(path,)
        )
        writer.start()
        try:
            requests["while a search writes"] = measure_requests(browser, options, monitor)
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
        "requests": requests,
    }


def measure_requests(
    browser: Browser, options: argparse.Namespace, monitor: LoadMonitor
) -> dict[str, Any]:
    """Quantiles in ms over many requests, of all of them and by figure."""
    draw = random.Random(2)
    next_version_request = time.monotonic()
    by_name: dict[str, list[float]] = {}
    marks = set()
    for address, _ in zip(generate_addresses(draw), range(options.rounds), strict=False):
        for kind, name in (
            *(("figure", name) for name in FIGURES),
            ("text", "front"),
            ("text", "summary"),
        ):
            browser.request_figure(kind, name, address, "0")
            by_name.setdefault(name, []).append(browser.milliseconds[-1])
        if time.monotonic() > next_version_request:
            next_version_request = time.monotonic() + 1
            marks.add(browser.request_version())
            by_name.setdefault("tick", []).append(browser.milliseconds[-1])
        monitor.sample()
    milliseconds = sorted(value for values in by_name.values() for value in values)
    return {
        "count": len(milliseconds),
        "updates seen": len(marks),
        "p50, ms": round(_quantile(milliseconds, 0.5), 1),
        "p99, ms": round(_quantile(milliseconds, 0.99), 1),
        "most, ms": round(milliseconds[-1], 1),
        "p99 by figure, ms": {n: round(_quantile(sorted(v), 0.99), 1) for n, v in by_name.items()},
    }


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument(
        "--rounds", type=int, default=40, help="number of states of the pages to request"
    )
    parser.add_argument(
        "--warm", type=float, default=20.0, help="seconds to wait for background computations"
    )
    options = parser.parse_args()
    monitor = LoadMonitor.start(anyway=options.anyway)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.db"
        write_database(path, options.trials)
        measurements = measure(path, options, monitor)
    result = {
        "what": "the dashboard's server on synthetic trials, asked over HTTP",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "target": TARGETS,
        "environment": describe_environment(torch.device("cpu"), "float32"),
        "trials": options.trials,
        **measurements,
    }
    print(json.dumps({k: v for k, v in result.items() if k != "environment"}, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
