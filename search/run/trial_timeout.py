"""When a trial has taken too long."""

from __future__ import annotations

from ...runners.workers.report_watch import ReportWatch
from ...studies.text.formatting import duration


def why_overdue(watch: ReportWatch, number: int, timeout: float | None) -> str | None:
    """Why a trial has taken too long, as a clause; None if it has not.

    Args:
        watch: of the running trials.
        number: of the trial.
        timeout: seconds that a trial may take; None: as long as it reports.
    """
    if timeout is not None:
        is_overdue = watch.run_seconds(number) > timeout
        return f"the trial took longer than {timeout:g} s" if is_overdue else None
    if not watch.is_silent(number):
        return None
    return (
        f"its worker has reported nothing for {duration(watch.max_silence)}; if an epoch can take "
        "that long, set --trial-timeout"
    )
