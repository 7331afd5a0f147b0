"""The trials that pass the filters as a CSV file, with the columns of `attentune export-table`."""

from __future__ import annotations

import io
import re

from flask import Response

from ...errors import AttentuneError
from ..database.store import Store
from ..outputs.trials_table import trials_table, write_csv
from .address import Address
from .context import StudyStates
from .study_state import StudyState
from .trial_columns import TrialColumns


def respond_with_trials(states: StudyStates, query: str) -> Response:
    """The response to a request for the trials of an address.

    Args:
        states: of the studies.
        query: the query string; its filters choose the rows, and its order sorts them.
    """
    address = Address.from_query(query)
    try:
        state = states.get(address.study)
        if state is None:
            return Response(f"There is no study {address.study!r}.\n", 404, mimetype="text/plain")
        state.refresh()
        text = _write_trials(states, state, query)
    except AttentuneError as error:
        return Response(f"{error}\n", 503, mimetype="text/plain")
    name = re.sub(r"[^\w.-]", "-", state.study.name, flags=re.ASCII)
    disposition = f'attachment; filename="{name}-trials.csv"'
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
    return Response(text, mimetype="text/csv", headers=headers)


def _write_trials(states: StudyStates, state: StudyState, query: str) -> str:
    store: Store = state.store
    columns, rows = trials_table(store, store.studies.get(state.study.name))
    by_number = {row["number"]: row for row in rows}
    context = states.context(query, "light")
    passed = state.trials.rows()
    passed = passed[state.analysis.matching_trials(context.address, passed)]
    ordered = TrialColumns(context).sort(passed) if context.address.sort else passed
    file = io.StringIO(newline="")
    numbers = (int(number) for number in ordered["number"])
    write_csv(columns, (by_number[n] for n in numbers if n in by_number), file)
    return file.getvalue()
