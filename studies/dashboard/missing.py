"""What an address asks for that does not exist: a study, a database, a value.

A page is drawn without it. Without a word the reader would take what is shown for what was asked
for.
"""

from __future__ import annotations

from collections.abc import Iterator

from dash import dcc, html

from ..objectives import BY_KEY, SCORE
from ..records import STATES
from ..text.formatting import enumeration
from .address import Address, unread_values
from .components import Component
from .context import MAX_COMPARED, PageContext, StudyStates, study_names
from .filters import ChoiceFilter, TrialRange
from .trial_columns import TrialColumns


def describe_unknown_values(context: PageContext, query: str) -> Iterator[str]:
    """A sentence for each part of a query string that does not exist.

    Args:
        context: of the page.
        query: the query string.
    """
    address, analysis = context.address, context.state.analysis
    if unread := unread_values(query):
        yield f"This address has parts without a meaning: {', '.join(unread)}."
    for key in (address.cost, address.third):
        if key is not None and not _is_cost(key, context):
            yield f"There is no cost {key!r}."
    index = analysis.insertions
    known = {
        "attention": set(index.attentions),
        "position": {insertion.position for insertion in index.insertions},
        "stage": {f"s{stage}" for stage in range(1, analysis.stages + 1)},
        "ratio": {str(dict(insertion.options).get("r")) for insertion in index.insertions},
    }
    for name, values in known.items():
        missing = [value for value in getattr(address, name) if value not in values]
        if missing:
            yield f"So far no architecture of this study has the {name} {enumeration(missing)}."
    yield from _describe_unknown_trials(context)
    names = {context.state.study.name, *(state.study.name for state in context.compared)}
    missing = [name for name in address.compared[:MAX_COMPARED] if name not in names]
    if missing:
        yield f"There is no study {enumeration(missing)} to compare with."
    if len(address.compared) > MAX_COMPARED:
        yield f"At most {MAX_COMPARED} other studies are compared."


def _describe_unknown_trials(context: PageContext) -> Iterator[str]:
    """A sentence for each part of the address about trials that does not exist."""
    address, analysis = context.address, context.state.analysis
    if missing := [state for state in address.state if state not in STATES]:
        yield f"There is no state {enumeration(missing)}; the states are {enumeration(STATES)}."
    names_columns = address.sort or address.columns or address.ranges
    columns = TrialColumns(context).all if names_columns else {}
    sort = (address.sort or "").removeprefix("-")
    wanted = [*address.columns, *([sort] if sort else [])]
    if missing := [key for key in dict.fromkeys(wanted) if key not in columns]:
        yield f"There is no column {enumeration(missing)}."
    numbers = {*columns, SCORE}
    unread = [t for t in address.ranges if (r := TrialRange.of(t)) is None or r.key not in numbers]
    unread += [t for t in address.choices if ChoiceFilter.of(t) is None]
    if unread:
        yield f"No filter can be read from {enumeration(unread)}."
    for number in (address.first, address.second):
        if number is not None and analysis.summary_of(number) is None:
            yield f"There is no complete trial {number}."


def _is_cost(key: str, context: PageContext) -> bool:
    if any(cost.key == key for cost in context.state.analysis.costs):
        return True
    return key in BY_KEY and BY_KEY[key].is_cost


def missing_database(states: StudyStates) -> str:
    """What the status line says when the file of the database is not there."""
    return (
        f"{states.store.name} was removed, moved or replaced. This page shows what it held before; "
        "when the database is back, start the dashboard again."
    )


def missing_study(states: StudyStates, requested: str | None) -> Component:
    """The content of a page without a study: the names of those that there are."""
    names = study_names(states.store)
    if not names:
        return [
            html.H1("No studies", className="visually-hidden"),
            html.P(
                "No studies yet. Start one with `attentune search NAME --backbone resnet18 --data "
                "FOLDER`; it appears here as soon as it runs."
            ),
        ]
    links = [html.Li(dcc.Link(name, href=Address(study=name).query)) for name in names]
    return [
        html.H1("No such study", className="visually-hidden"),
        html.P(f"There is no study {requested!r} in {states.store.name} now. The studies are:"),
        html.Ul(links),
    ]
