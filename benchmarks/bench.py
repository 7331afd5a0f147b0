"""Run the benchmarks one after the other within a time limit, and mark what has become worse.

    python benchmarks/bench.py --minutes 90
    python benchmarks/bench.py --only loop overhead

A benchmark that does not end in time is stopped; its result remains the one from before, and so do
those for which no time is left. Each new result is compared with the committed one, if that is of
the same kind of machine: a ratio, or a time in milliseconds, is marked if it is worse by more than
its spread, the wider of the two interquartile ranges. The exit code is 1 if a benchmark fails, and
0 with marks: whether a figure matters is for a reader to judge.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
BENCHMARKS: Mapping[str, tuple[str, ...]] = {
    "loop": ("loop.py",),
    "overhead": ("overhead.py",),
    "trials": ("trials.py",),
    "startup": ("startup.py",),
    "latency": ("latency.py",),
    "dashboard": ("dashboard.py",),
    "finetune": ("finetune.py",),
    "convolutions": ("convolutions.py",),
    "attention": ("attention.py",),
    "claims": ("claims.py",),
    "estimates": ("estimates.py",),
    "accuracy": ("accuracy.py",),
    "effects_cued_digits": ("attention_effects.py", "--data", "cued-digits"),
    "effects_cluttered_digits": ("attention_effects.py", "--data", "cluttered-digits"),
}
"""The command of each result file; first those that users notice most."""
SAME_MACHINE = ("device", "instructions", "system", "torch")
"""Facts of the environment that two comparable results share."""
DEFAULT_MINUTES = 120.0


@dataclass(frozen=True)
class Figure:
    """One figure of a result.

    Attributes:
        name: where it is in the file.
        median, low, high: of its rounds, with the quartiles.
        lower_is_better: whether it is a time.
    """

    name: str
    median: float
    low: float
    high: float
    lower_is_better: bool

    def is_worse_than(self, earlier: Figure) -> bool:
        """Whether it is worse by more than the spread."""
        spread = max(self.high - self.low, earlier.high - earlier.low)
        loss = self.median - earlier.median
        return (loss if self.lower_is_better else -loss) > spread


def find_figures(result: Any, name: str = "") -> Iterator[Figure]:
    """The ratios of a result, all of which are better if they are higher, and its times in ms.

    Rates such as images per second depend on how fast the machine is at that moment; they are left
    out.
    """
    if isinstance(result, list):
        for number, item in enumerate(result):
            yield from find_figures(item, f"{name}[{_label(item, number)}]")
    elif isinstance(result, dict):
        key = name.rpartition(".")[2]
        is_ratio, is_time = " / " in key, key.endswith("_ms")
        if "quartiles" in result and (is_ratio or is_time):
            low, high = result["quartiles"]
            yield Figure(name, result["median"], low, high, is_time)
            return
        for key, item in result.items():
            yield from find_figures(item, f"{name}.{key}" if name else key)


def _label(item: Any, number: int) -> str:
    """What distinguishes an item of a list: its texts and whole numbers."""
    if not isinstance(item, dict):
        return str(number)
    words = [str(v) for v in item.values() if isinstance(v, str | int) and not isinstance(v, bool)]
    return " ".join(words) or str(number)


def compare_results(new: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[str]:
    """A line for each figure that has become worse, or one that says why none is compared."""
    differing = [
        f"{fact}: {earlier['environment'].get(fact)}"
        for fact in SAME_MACHINE
        if new["environment"].get(fact) != earlier["environment"].get(fact)
    ]
    if differing:
        return [f"not compared, the committed one is of another machine ({', '.join(differing)})"]
    before = {figure.name: figure for figure in find_figures(earlier)}
    return [
        f"worse: {figure.name}: {figure.median:g} ({figure.low:g} to {figure.high:g}), committed "
        f"{known.median:g} ({known.low:g} to {known.high:g})"
        for figure in find_figures(new)
        if (known := before.get(figure.name)) is not None and figure.is_worse_than(known)
    ]


def read_committed(path: Path) -> dict[str, Any] | None:
    """A result file as it was committed last; None if it was not."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, check=False
    )
    return None if shown.returncode else json.loads(shown.stdout)


def run_benchmark(name: str, seconds: float) -> str:
    """Run one benchmark, and write its result; returns `ended`, `failed` or `stopped`.

    Args:
        name: a key of `BENCHMARKS`.
        seconds: after which it is stopped.
    """
    script, *arguments = BENCHMARKS[name]
    path = RESULTS / f"{name}.json"
    command = [sys.executable, str(FOLDER / script), *arguments, "--json", str(path)]
    try:
        ended = subprocess.run(command, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return "stopped"
    return "failed" if ended.returncode else "ended"


def describe_end(name: str, how: str) -> list[str]:
    """What to say of a benchmark after `run_benchmark`."""
    if how == "stopped":
        return ["stopped, because the time was used up; the earlier result remains"]
    if how == "failed":
        return ["failed; the earlier result remains"]
    path = RESULTS / f"{name}.json"
    committed = read_committed(path)
    if committed is None:
        return ["no result of it is committed"]
    new = json.loads(path.read_text("utf-8"))
    return compare_results(new, committed) or ["as good as the committed one"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="for all of them")
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    ends: dict[str, str] = {}
    for name in options.only:
        remaining = deadline - time.monotonic()
        if remaining > 0:
            print(f"{name}, at most {remaining / 60:.0f} minutes", flush=True)
            ends[name] = run_benchmark(name, remaining)
    for name in options.only:
        lines = describe_end(name, ends[name]) if name in ends else ["not run: no time was left"]
        print(name, *(f"  {line}" for line in lines), sep="\n")
    sys.exit(1 if "failed" in ends.values() else 0)


if __name__ == "__main__":
    main()
