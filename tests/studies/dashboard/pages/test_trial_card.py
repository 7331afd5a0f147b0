"""The card of a trial."""

from __future__ import annotations

import shlex

from attentune.spaces.architecture import Architecture
from attentune.studies.dashboard.context import StudyStates
from attentune.studies.dashboard.pages.trial_card import (
    architecture_diagram,
    export_command,
    trial_card,
)
from attentune.studies.dashboard.trial_columns import TrialColumns
from attentune.studies.figures.themes import LIGHT


def test_the_export_command_can_be_pasted_into_a_shell(study, reader, add):
    number = add("resnet18", 0.5)
    context = StudyStates(reader, None).context("", LIGHT.name)
    words = shlex.split(export_command(context, context.state.records.trial(number)))
    assert words[:6] == ["attentune", "export", "first", "--pick", str(number), "-o"]
    assert words[-2:] == ["--db", context.database]


def test_each_stage_shows_what_is_inserted_in_it():
    text = "resnet18+se(r=4,start=identity)@s1b2.residual+eca@s2-s3.post"
    diagram = architecture_diagram(Architecture.parse(text), 4, LIGHT).to_plotly_json()
    boxes = [str(box) for box in diagram["props"]["children"]]
    assert ["Strong('se')" in box for box in boxes[1:5]] == [True, False, False, False]
    assert ["Strong('eca')" in box for box in boxes[1:5]] == [False, True, True, False]
    assert "block 2" in boxes[1]
    assert "r=4" in boxes[1]
    assert "identity" not in boxes[1]


def test_no_card_without_a_selection_and_a_sentence_for_an_unknown_trial(study, reader, add):
    add("resnet18", 0.5)
    states = StudyStates(reader, None)
    assert trial_card(states.context("", LIGHT.name)) is None
    card = trial_card(states.context("?trial=99", LIGHT.name))
    assert "There is no trial 99." in str(card)
    assert "resnet18" in str(trial_card(states.context("?trial=0", LIGHT.name)))


def test_the_load_of_the_machine_is_beside_times_and_costs(study, reader, add):
    number = add("resnet18", 0.5)
    states = StudyStates(reader, None)
    card = str(trial_card(states.context(f"?trial={number}", LIGHT.name)))
    assert "CPU load while it ran" in card
    assert "93 %" in card
    assert "GPU load" not in card  # It was not read.
    context = states.context("?columns=number~cpu_load~gpu_load", LIGHT.name)
    [row] = context.state.trials.rows()
    assert [column.cell(row) for column in TrialColumns(context).shown] == ["0", "93 %", "–"]
