"""A search that removes a backbone's own attention, from the proposals to the recommendation."""

from __future__ import annotations

import math

import pytest
from attentune.runners.costs import CostModel
from attentune.runners.results import Costs, Job
from attentune.spaces.architecture import parse
from attentune.spaces.search_space.space import Space
from attentune.studies.analysis.architecture_table import ArchitectureTable
from attentune.studies.analysis.attention_effects import analyse_effects
from attentune.studies.analysis.confirmation import analyse_confirmation
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.figures.heatmap import heatmap_figure
from attentune.studies.objectives import ACCURACY
from attentune.studies.outputs.read_findings import read_findings
from attentune.studies.text.summary import summary_sentence

BACKBONE = "test_efficientnet"
LOSS = {"s4": 0.0005, "s5": 0.15}
"""What is lost without the own attention of a stage."""
ALONE = Space.of(own_attention="search", attentions=("none",))


def accuracy(job: Job) -> float:
    stages = ("s4", "s5") if "=none)" in str(job.architecture) else LOSS
    removed = str(job.architecture).partition("=none")
    lost = [LOSS[s] for s in stages if removed[1] and (removed[2][:1] == ")" or s in removed[2])]
    return 0.8 - sum(lost) + 0.002 * (job.seed % 3)


@pytest.fixture
def study(bench, monkeypatch):
    """Runs a study whose accuracies and costs follow from what is removed."""

    def run(space: Space, trials: int, **fields) -> object:
        config = bench.config(backbone=BACKBONE, stages=5, space=space, **fields)
        prices = CostModel(BACKBONE, config.recipe, config.num_classes)

        def costs(job: Job) -> Costs:
            return prices.price(job.architecture)

        monkeypatch.setattr(type(bench.pool), "_costs", staticmethod(costs))
        monkeypatch.setitem(type(bench.pool)._report.__globals__, "formula", accuracy)
        bench.run("own", trials, config)
        return bench.store.studies.get("own")

    return run


def test_what_can_go_at_no_loss_is_found_and_recommended(bench, study):
    record = study(ALONE, 12, sampler="grid")
    rows = bench.rows("own")
    assert [row[1] for row in rows[:2]] == [BACKBONE, f"{BACKBONE}(attention=none)"]
    assert len({row[1] for row in rows}) == 4
    findings = read_findings(bench.store, record, bench.store.trials.read(record))
    bare = findings.bare
    cheaper = {
        str(s.architecture): s.values["params"] - bare.values["params"] for s in findings.front
    }
    assert cheaper[f"{BACKBONE}(attention=none@s4)"] == -2184
    assert cheaper[f"{BACKBONE}(attention=none)"] == -2184 - 4812
    sentence = summary_sentence(record, findings)
    assert sentence.startswith(
        f"Remove the attention that `{BACKBONE}` itself has in stage 4 "
        f"(`{BACKBONE}(attention=none@s4)`): −"
    )
    assert "% parameters, at no measurable loss (" in sentence


def test_a_confirmation_recommends_the_cheaper_backbone_if_it_loses_nothing(bench, study):
    record = study(ALONE, 8, sampler="grid")
    bench.confirm("own", top=3, seeds=4)
    record = bench.store.studies.get("own")
    findings = read_findings(bench.store, record)
    trials = bench.store.trials.read("own", confirming=True)
    confirmation = analyse_confirmation(record, findings, trials)
    assert {str(c.architecture) for c in confirmation.worse} == {
        f"{BACKBONE}(attention=none)",
        f"{BACKBONE}(attention=none@s5)",
    }
    sentence = summary_sentence(record, findings, confirmation)
    assert f"(`{BACKBONE}(attention=none@s4)`)" in sentence
    assert sentence.endswith("against the bare backbone with fresh seeds on the test split).")


def test_a_removal_has_an_effect_by_stage_beside_those_of_attentions(bench, study):
    space = Space.of(own_attention="search", attentions=("none", "eca"), positions=("mid",))
    record = study(space, 16, sampler="random")
    facts, _ = bench.store.insertions.read(record)
    removal = facts["own removed@all.own"]
    assert removal.shares == {4: 1.0, 5: 1.0}
    assert removal.size == pytest.approx(-math.log1p(2184) - math.log1p(4812))
    table = TrialTable.of(bench.store.trials.read(record))
    model = StudyModel.of(record, insertions=facts)
    effects = analyse_effects(ArchitectureTable.of(table, model), table.rows)
    rows = effects.by_stage.cells
    assert {stage for name, stage in rows if name == "own removed"} == {"s4", "s5"}
    assert rows["own removed", "s5"].mean < rows["own removed", "s4"].mean
    assert "own removed" not in effects.by_position.attentions
    assert "own removed" in heatmap_figure(effects.by_stage, ACCURACY).data[0].y


@pytest.mark.parametrize("sampler", ["additive", "tpe"])
def test_samplers_propose_removals(bench, study, sampler):
    space = Space.of(own_attention="search", attentions=("none", "eca"), positions=("mid",))
    study(space, 12, sampler=sampler)
    proposed = [parse(row[1]) for row in bench.rows("own")[6:]]
    assert any(architecture.removed for architecture in proposed)
    assert len(set(proposed)) > 3
