"""The table of trials: sorted, searched, cut into pages, and saved with one row a trial."""

from __future__ import annotations

import csv
import io
import re

import pytest
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.dashboard.app import make_app
from attentune.studies.dashboard.context import StudyStates
from attentune.studies.dashboard.pages import trials as page
from attentune.studies.dashboard.pages.filter_controls import passing
from attentune.studies.dashboard.trial_columns import TrialColumns
from attentune.studies.figures.themes import LIGHT
from attentune.studies.outputs.trials_table import trials_table

TEXTS = (
    "resnet18",
    "resnet18+se(r=16)@s1.residual",
    "resnet18+cbam(r=4)@s3-s4.post",
    "resnet18+eca@s2.mid",
)


@pytest.fixture
def states(store, study, reader, add):
    for number, text in enumerate(TEXTS):
        add(text, 0.5 + number / 100, 3000 - number, seed=number, latency_ms=float(number or 9))
    store.trials.start(study, 4, parse(TEXTS[1]), seed=9)
    store.trials.fail(study, 4, Failure("diverged", "loss is nan", "trace"))
    return StudyStates(reader, None)


def shown(states: StudyStates, query: str = "") -> list[int]:
    """The numbers of the trials in the table, from top to bottom."""
    rows = component(page.trials(states.context(query, LIGHT.name)), "Tbody").children
    return [int(row.children[0].children) for row in rows]


def component(content, name):
    """The first component of a kind within a content."""
    if isinstance(content, list | tuple):
        return next((hit for each in content if (hit := component(each, name))), None)
    if type(content).__name__ == name:
        return content
    return component(getattr(content, "children", None) or [], name)


ORDERS = {
    "": [3, 2, 1, 0, 4],
    "?sort=params": [3, 2, 1, 0, 4],
    "?sort=-params": [0, 1, 2, 3, 4],
    "?sort=latency_ms": [1, 2, 3, 0, 4],
    "?sort=architecture&state=complete": [2, 3, 0, 1],
    "?sort=s1.attention&columns=number": [1, 4, 0, 2, 3],
    "?sort=nothing": [3, 2, 1, 0, 4],
    "?search=se": [1, 4],
    "?range=score:51:52": [2, 1],
}


def test_trials_are_sorted_and_filtered(states):
    assert {query: shown(states, query) for query in ORDERS} == ORDERS


def test_a_table_is_cut_into_pages_and_its_head_says_how_it_is_sorted(states, monkeypatch):
    monkeypatch.setattr(page, "TRIALS_PER_PAGE", 2)
    assert [shown(states, f"?page={n}") for n in (1, 2, 3, 99)] == [[3, 2], [1, 0], [4], [4]]
    text = str(page.trials(states.context("?sort=-params&page=2", LIGHT.name)))
    assert "page 2 of 3" in text
    assert "aria-sort='descending'" in text.replace('"', "'")


def test_cells_say_why_a_trial_failed_and_link_to_its_card(states):
    text = str(page.trials(states.context("?columns=number~architecture~state~note", LIGHT.name)))
    assert "diverged: loss is nan" in text
    assert re.search(r"href='\?trial=4&columns=", text)


def test_every_column_sorts_and_prints_every_row(states):
    for key, column in TrialColumns(states.context("", LIGHT.name)).all.items():
        if column.sortable:
            assert sorted(shown(states, f"?columns=number~{key}&sort=-{key}")) == [0, 1, 2, 3, 4]


def test_what_the_filters_leave_is_said_and_a_range_can_be_removed(states):
    assert passing(states.context("", LIGHT.name)) is None
    text = str(passing(states.context("?search=se&range=params:1:5", LIGHT.name)))
    assert "0 of 5 trials pass" in text
    assert "Parameters 1 to 5" in text
    assert "href='?search=se'" in text


def test_the_best_of_a_metric_of_ones_own_that_is_better_if_lower_comes_first(
    add_study_in_mm, reader
):
    add_study_in_mm(TEXTS, (3.5, 12.0, 2.25))
    states = StudyStates(reader, "own")
    assert shown(states) == shown(states, "?sort=score") == [2, 0, 1]
    assert shown(states, "?sort=-score") == [1, 0, 2]
    text = str(page.trials(states.context("", LIGHT.name)))
    assert "12 mm" in text
    assert "%" not in text.replace("%3A", "")


def test_the_file_has_the_rows_of_the_filters_and_the_columns_of_the_command(
    states, store, study, reader
):
    client = make_app(reader).server.test_client()
    response = client.get("/trials.csv?search=se&sort=-number")
    assert response.mimetype == "text/csv"
    assert 'filename="first-trials.csv"' in response.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.get_data(as_text=True))))
    assert list(rows[0]) == trials_table(store, study)[0]
    assert [row["number"] for row in rows] == ["4", "1"]
    assert rows[1]["s1.ratio"] == "16"
    assert rows[0]["failure"] == "diverged: loss is nan"
    assert client.get("/trials.csv?study=nowhere").status_code == 404
