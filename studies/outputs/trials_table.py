"""A study as a table: one row a trial, one column a choice, in CSV, TSV or Parquet.

Names of columns end in their unit (`latency_ms`, `memory_mib`). The choices are those of the
architecture: for each stage its attentions, their positions and their ratios, and whether its own
attention is removed; for single blocks too, where a study has chosen for blocks. Several attentions
in one place are joined by `+`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from ...errors import UsageError
from ...files import atomic_write
from ...runners.metrics import METRICS, in_order
from ...spaces.architecture import Architecture, Place
from ..database.store import Store
from ..records import LOADS, StudyRecord, TrialRecord
from ..trial_marks import TrialMarks

TRIAL_COLUMNS = (
    "number",
    "architecture",
    "key",
    "seed",
    "role",
    "state",
    "epochs",
    "accuracy",
    "params",
    "macs",
    "latency_ms",
    "latency_ms_error",
    "latency_ratio",
    "latency_ratio_error",
    "memory_mib",
    "seconds",
    "device_seconds",
    "peak_memory_mib",
    *LOADS,
    "worker",
    "note",
    "failure",
    "started_at",
    "finished_at",
)
"""Fields of a `TrialRecord`, in the order of the columns. Further metrics follow, then choices."""
MARK_COLUMNS = ("starred", "tags", "remark")
"""What readers of the dashboard have marked; the columns are left out without any marks."""
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
REMOVED = "removed"
"""In the column `s3.own`: the backbone's own attention of that stage is removed."""
SEPARATORS = {".csv": ",", ".tsv": "\t"}
Row = dict[str, Any]


def trials_table(store: Store, study: StudyRecord) -> tuple[list[str], list[Row]]:
    """The columns of a study's table, and a row for each trial of the search.

    Accuracy and loads are fractions, latency in ms, memory in MiB, durations in seconds.

    Args:
        store: the database.
        study: of that database.
    """
    metrics = store.metrics.read(study)
    trials = store.trials.read(study)
    stages = study.config.stages or _last_stage(trials)
    facts, _ = store.insertions.read(study)
    shares = {text: recorded.shares.keys() for text, recorded in facts.items()}
    choices = [architecture_choices(trial.parsed, stages, shares) for trial in trials]
    names = _names_with_unit(study)
    rows = [
        {
            **_trial_fields(trial),
            **{names.get(key, key): value for key, value in metrics.get(trial.number, {}).items()},
            **choice,
        }
        for trial, choice in zip(trials, choices, strict=True)
    ]
    marks = store.marks.read(study)
    for row in rows:
        if (marked := marks.get(row["number"])) is not None:
            row |= _mark_fields(marked)
    recorded = (key for values in metrics.values() for key in values)
    further = [key for key in in_order([*METRICS, *recorded]) if key not in TRIAL_COLUMNS]
    further = [names.get(key, key) for key in further]
    marked_columns = MARK_COLUMNS if marks else ()
    return [*TRIAL_COLUMNS, *further, *choice_columns(choices, stages), *marked_columns], rows


def _mark_fields(marks: TrialMarks) -> Row:
    """The marks of a trial; a text that a spreadsheet would take for a formula is quoted."""
    texts = (", ".join(marks.tags), marks.note)
    tags, note = (f"'{text}" if text.startswith(_FORMULA_SIGNS) else text for text in texts)
    return dict(zip(MARK_COLUMNS, (marks.starred, tags, note), strict=True))


def _names_with_unit(study: StudyRecord) -> dict[str, str]:
    """The columns of a user's own metrics that have a unit, such as `error_mm`, by their key."""
    objectives = (study.metric, *study.further_metrics)
    own = (each.metric for each in objectives if each.metric is not None and each.metric.is_own)
    return {m.key: f"{m.key}_{m.gain_unit}" for m in own if m.gain_unit and not m.in_percent}


def write_trials_table(store: Store, study: StudyRecord, path: Path) -> int:
    """Write the table into a file whose suffix decides its format; returns the number of rows.

    Args:
        store: the database.
        study: of that database.
        path: ends in `.csv`, `.tsv` or `.parquet`.

    Raises:
        UsageError: the suffix is another one, or Parquet cannot be written here.
    """
    columns, rows = trials_table(store, study)
    suffix = path.suffix.lower()
    if suffix in SEPARATORS:
        with atomic_write(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            write_csv(columns, rows, file, SEPARATORS[suffix])
    elif suffix == ".parquet":
        _write_parquet(columns, rows, path)
    else:
        raise UsageError(
            f"{path.name} has no suffix that says what to write; use .csv, .tsv or .parquet"
        )
    return len(rows)


def write_csv(
    columns: Sequence[str], rows: Iterable[Row], file: TextIO, separator: str = ","
) -> None:
    """Write rows as CSV, with a header.

    Args:
        columns: in their order.
        rows: values by column; a missing one is an empty cell.
        file: open for text, without translation of line ends.
        separator: of cells.
    """
    writer = csv.DictWriter(file, columns, delimiter=separator, restval="")
    writer.writeheader()
    writer.writerows({name: _as_text(value) for name, value in row.items()} for row in rows)


def _write_parquet(columns: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "Parquet files need pyarrow, which is not installed; run `pip install "
            "'attentune[parquet]'`, or write a .csv"
        ) from error
    arrays = {name: [row.get(name) for row in rows] for name in columns}
    with atomic_write(path) as draft:
        parquet.write_table(pyarrow.table(arrays), draft)


def _trial_fields(trial: TrialRecord) -> Row:
    failure = trial.failure and f"{trial.failure.kind}: {trial.failure.message}"
    return {name: getattr(trial, name) for name in TRIAL_COLUMNS} | {"failure": failure}


def _last_stage(trials: Iterable[TrialRecord]) -> int:
    """The last stage that an architecture names, for a study that has not recorded how many
    there are."""
    changes = (change for trial in trials for change in trial.parsed.changes)
    return max((place.last for change in changes for place in change.places), default=0)


def architecture_choices(
    architecture: Architecture,
    stages: int,
    reached: Mapping[str, Collection[int]] | None = None,
) -> dict[str, str]:
    """What an architecture has chosen, by the name of a column.

    Args:
        architecture: of a trial.
        stages: the number of stages of its backbone.
        reached: the stages with own attention among those of a removal, by the text of the change;
            those that the removal names if this is not known.
    """
    chosen: dict[str, list[str]] = {}
    for place in architecture.removed:
        with_own = (reached or {}).get(str(architecture.changes[0]), range(1, stages + 1))
        for where in _stages_or_block(place, stages):
            if place.block or int(where.removeprefix("s")) in with_own:
                chosen[f"{where}.own"] = [REMOVED]
    for insertion in architecture.insertions:
        ratio = dict(insertion.options).get("r", "")
        settings = {
            "attention": insertion.attention,
            "position": insertion.position,
            "ratio": str(ratio),
        }
        for place in insertion.places:
            for where in _stages_or_block(place, stages):
                for name, value in settings.items():
                    chosen.setdefault(f"{where}.{name}", []).append(value)
    return {column: "+".join(values) for column, values in chosen.items()}


def _stages_or_block(place: Place, stages: int) -> Iterable[str]:
    """The stages that a place covers, or its block, or its module such as `{model.6}`."""
    if place.module:
        return (str(place),)
    if place.block:
        return (f"s{place.first}b{place.block}",)
    first, last = (place.first, place.last) if place.first else (1, stages)
    return (f"s{stage}" for stage in range(first, last + 1))


def choice_columns(choices: Iterable[Mapping[str, str]], stages: int) -> list[str]:
    """The columns of all choices, in the order of the network.

    Args:
        choices: of architectures, by column.
        stages: of the backbone; each has columns, whether anything was chosen there or not.
    """
    columns = {column for choice in choices for column in choice}
    places = {column.rpartition(".")[0] for column in columns}
    places |= {f"s{stage}" for stage in range(1, stages + 1)}
    ordered = sorted(places, key=_position_in_network)
    names = ["own"] if any(column.endswith(".own") for column in columns) else []
    names += ["attention", "position", "ratio"]
    return [f"{place}.{name}" for place in ordered for name in names]


def _position_in_network(place: str) -> tuple[float, int, str]:
    """The order of columns: stages and blocks, then modules by their path."""
    if place.startswith("{"):
        return math.inf, 0, place
    stage, _, block = place.removeprefix("s").partition("b")
    return int(stage), int(block or 0), ""


def _as_text(value: Any) -> Any:
    """A value as CSV has it: times in UTC by ISO 8601, and nothing for what is not known."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    return "" if value is None else value
