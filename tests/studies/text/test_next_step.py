"""What helps next: continue what was interrupted, then confirm, then export."""

from __future__ import annotations

from attentune.spaces.architecture import parse
from attentune.studies.dashboard.study_state import StudyState

PLAN = {"plan": {"trials": 3}}


def commands(state: StudyState) -> list[str]:
    state.refresh()
    return [step.command.partition(" --db")[0] for step in state.next_steps()]


def test_the_steps_of_a_study_in_their_order(store, study, reader, add):
    store.studies.change_config(study, lambda _: PLAN)
    state = StudyState(reader, study)
    assert commands(state) == ["attentune resume first"]
    add("resnet18", 0.5)
    for seed in (0, 1):
        add("resnet18+se(r=16)@all.residual", 0.8, seed=seed)
    test, take = "attentune confirm first", "attentune export first --pick 1 -o model"
    assert commands(state) == [test, take]
    assert "hypothesis" in state.next_steps()[0].reason
    store.trials.start(study, 9, parse("resnet18+eca@s1.mid"), seed=0)
    assert commands(state) == ["attentune resume first", test, take]
    assert "1 unfinished trial" in state.next_steps()[0].reason
    lease = store.leases.acquire(study)
    assert commands(state) == []
    store.leases.release(lease)


def test_a_study_whose_setup_was_interrupted_is_continued(store, study, reader):
    store.studies.change_config(study, lambda _: {"request": {}})
    assert commands(StudyState(reader, store.studies.get("first"))) == ["attentune resume first"]
