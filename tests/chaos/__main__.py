"""`python -m chaos`: run the attacks, print their table, and write the result."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from attentune.runners.environment import describe_environment

from .attack import Attack, AttackRun, Tally
from .attacks import ATTACKS

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run the attacks; exit with 1 if one of them found a fault."""
    options = read_options()
    chosen = [attack for attack in ATTACKS if not options.only or attack.name in options.only]
    if not chosen:
        names = ", ".join(attack.name for attack in ATTACKS)
        raise SystemExit(f"no attack is called {' or '.join(options.only)}; there are: {names}")
    print(f"seed {options.seed}", flush=True)
    rows = run_attacks(chosen, options)
    if options.json:
        result = {
            "seed": options.seed,
            "seconds": round(sum(row["seconds"] for row in rows), 1),
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "rows": rows,
        }
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=True) + "\n", "utf-8")
    sys.exit(any(row["lost"] + row["wrong"] + row["unstated"] for row in rows))


def read_options() -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="for all attacks together")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", action="append", metavar="ATTACK", default=[])
    parser.add_argument("--label", help="make only this attempt, such as 'step 3'")
    parser.add_argument("--attempts", type=int, help="at most so many of each attack")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the result")
    parser.add_argument("--folder", type=Path, help="keep the files of attempts with faults here")
    return parser.parse_args()


def run_attacks(attacks: Sequence[Attack], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run each attack for its part of the time; what one leaves over goes to the others."""
    ends = time.monotonic() + 60 * options.minutes
    rows = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        os.environ["ATTENTUNE_CACHE"] = str(Path(temporary) / "cache")
        for i, attack in enumerate(attacks):
            weights = sum(later.weight for later in attacks[i:])
            seconds = max(0.0, ends - time.monotonic()) * attack.weight / weights
            run = AttackRun(
                attack.name,
                options.seed,
                (options.folder or Path(temporary)) / attack.name,
                seconds=seconds,
                max_attempts=options.attempts,
                label=options.label,
                keep=options.folder is not None,
            )
            began = time.monotonic()
            attack.function(run)
            rows.append(row_of(attack, run.tally, time.monotonic() - began))
    return rows


def row_of(attack: Attack, tally: Tally, seconds: float) -> dict[str, Any]:
    """The result of an attack; it is printed too."""
    print(
        f"{attack.name:28} {seconds:6.0f} s  tried {tally.tried:6}  lost {tally.lost:4}  "
        f"wrong {tally.wrong:4}  unstated {tally.unstated:4}",
        flush=True,
    )
    for note in tally.notes:
        print(f"    {note}", flush=True)
    row = {"attack": attack.name, "title": attack.title, "seconds": round(seconds, 1)}
    # Tracebacks name files; where the repository is on this machine is nobody's business.
    notes = [note.replace(f"{REPOSITORY}{os.sep}", "") for note in tally.notes]
    return row | asdict(tally) | {"notes": notes}


if __name__ == "__main__":
    main()
