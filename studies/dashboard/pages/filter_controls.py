"""The filters: controls that several pages have, and what the filters leave."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from ...figures.learning_curves import CURVE_TITLES
from ...records import STATES
from ...text import formatting
from ..address import Address
from ..components import Component
from ..context import PageContext
from ..filters import ChoiceFilter, TrialRange, read_choices, read_ranges
from ..trial_columns import TrialColumns

SEARCH_DELAY_SECONDS = 0.4
"""After the last key, before the words are searched for."""


def filter_controls(context: PageContext) -> list[Component]:
    """The controls of all filters but the ranges, which figures set."""
    analysis, address = context.state.analysis, context.address
    index = analysis.insertions
    options = [dict(insertion.options).get("r") for insertion in index.insertions]
    ratios = [str(ratio) for ratio in sorted({r for r in options if isinstance(r, int)})]
    positions = list(dict.fromkeys(insertion.position for insertion in index.insertions))
    stages = [f"s{stage}" for stage in range(1, analysis.stages + 1)]
    search = dcc.Input(
        value=address.search or "",
        id={"control": "search"},
        type="search",
        debounce=SEARCH_DELAY_SECONDS,
        placeholder="such as se s3 pruned 42",
        autoComplete="off",
        spellCheck="false",
    )
    return [
        html.Label(["Search", search]),
        _filter("Attention", "attention", index.attentions, address.attention),
        _filter("Position", "position", positions, address.position),
        _filter("Stage", "stage", stages, address.stage),
        _filter("Ratio", "ratio", ratios, address.ratio),
        _filter("State", "state", list(STATES), address.state),
    ]


def _filter(label: str, name: str, options: list[str], values: tuple[str, ...]) -> Component:
    known = list(dict.fromkeys([*options, *values]))
    dropdown = dcc.Dropdown(
        known, list(values), id={"control": name}, multi=True, placeholder="all"
    )
    return html.Label([label, dropdown])


def choice(label: str, name: str, options: list[Any], value: Any) -> Component:
    """A control that has exactly one of some values.

    Args:
        label: what it says.
        name: of the field of the address.
        options: of a dropdown.
        value: the present one.
    """
    dropdown = dcc.Dropdown(options, value, id={"control": name}, clearable=False, searchable=False)
    return html.Label([label, dropdown])


def curve_choice(context: PageContext) -> Component:
    """The control of what learning curves show."""
    options = [{"label": title, "value": kind} for kind, title in CURVE_TITLES.items()]
    options[0]["label"] = context.state.study.metric.noun
    return choice("Curves show", "curve", options, context.address.curve)


def controls(context: PageContext) -> Component:
    """The filters alone, for a page without other controls."""
    return controls_bar("Filters", filter_controls(context))


def controls_bar(label: str, controls: list[Component]) -> Component:
    """Controls in a grid; `label` names the group."""
    return html.Div(controls, className="controls", role="group", **{"aria-label": label})


def passing(context: PageContext) -> Component:
    """How many trials pass the filters, and links that remove them; nothing without filters."""
    address, state = context.address, context.state
    if not address.filtered:
        return None
    rows = state.trials.rows()
    count = int(state.analysis.matching_trials(address, rows).sum())
    links: list[Component] = []
    columns = TrialColumns(context).all
    for each in read_ranges(address):
        rest = [text for text in address.ranges if TrialRange.of(text) != each]
        title = columns[each.key].title if each.key in columns else each.key
        label = f"{title} {_range_text(each)}"
        links += [" ", _removal_link(label, "range", address.with_changes({"ranges": rest}))]
    for choice_filter in read_choices(address):
        remaining = [t for t in address.choices if ChoiceFilter.of(t) != choice_filter]
        values = ", ".join(value or "none" for value in choice_filter.values)
        label = f"{choice_filter.column}: {values}"
        links += [" ", _removal_link(label, "choice", address.with_changes({"choices": remaining}))]
    clear = dcc.Link("Clear the filters", href=address.without_filters().query or "?")
    return html.P(
        [
            f"{formatting.integer(count)} of {formatting.plural(len(rows), 'trial')} pass the "
            "filters.",
            *links,
            " ",
            clear,
        ],
        className="passing",
        role="status",
    )


def _removal_link(label: str, kind: str, rest: Address) -> Component:
    """A link that removes one filter, and leads to the address with the rest of them."""
    return dcc.Link(
        f"{label} ×", href=rest.query or "?", title=f"Remove this {kind}", className="tag"
    )


def _range_text(each: TrialRange) -> str:
    if each.low == float("-inf"):
        return f"up to {each.high:.4g}"
    if each.high == float("inf"):
        return f"from {each.low:.4g}"
    return f"{each.low:.4g} to {each.high:.4g}"
