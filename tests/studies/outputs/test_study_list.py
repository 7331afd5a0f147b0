"""The list of studies: its best is the one that every other place names."""

from __future__ import annotations

from collections.abc import Callable

from attentune.studies.analysis.analyse import analyse, show_json
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.database.store import Store
from attentune.studies.outputs.export import pick_trial
from attentune.studies.outputs.study_json import listed_study_json
from attentune.studies.outputs.study_list import list_studies
from attentune.studies.records import StudyRecord

Add = Callable[..., int]
GOOD = "resnet18+se(r=16)@all.residual"
NOISY, FORTUNATE = "resnet18+ca(r=32)@all.residual", "resnet18+eca@all.residual"


def test_list_show_export_and_dashboard_name_one_best(
    store: Store, study: StudyRecord, add: Add
) -> None:
    add("resnet18", 0.60)
    for seed in range(4):
        add(GOOD, 0.70 + 0.005 * (-1) ** seed, seed=seed)
    for seed in range(2):
        add(NOISY, 0.4 + 0.1 * (-1) ** seed, seed=seed)
    highest = add(FORTUNATE, 0.72)
    store.studies.create("idle", backbone="vgg11", objectives=("accuracy",), config={}, seed=0)
    trials = store.trials.read(study)
    best = analyse(study, trials).best
    assert best is not None
    assert str(best.architecture) == GOOD
    assert best.number != highest
    listed, idle = list_studies(store)
    assert listed.best == best
    assert listed_study_json(listed)["best_accuracy"] == best.score
    assert (idle.best, listed_study_json(idle)["best_accuracy"]) == (None, None)
    assert show_json(study, trials)["best"] == best.number
    assert pick_trial(store, study, "best").number == best.number
    state = StudyState(store, study)

    live = state.analysis.findings().best
    assert live is not None
    assert (live.number, live.score) == (best.number, best.score)
