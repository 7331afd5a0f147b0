"""Which baselines have to run, by what has run and failed."""

from __future__ import annotations

import example_records
import pytest
from attentune.search.run.proposal_history import MAX_BASELINE_ATTEMPTS, ProposalHistory
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.sites import SiteMap

SITES = SiteMap("net", (32, 32), ())
KEY = parse("net").key


def ended(history, state, text="net"):
    trial = example_records.trial(0, text, 0.5 if state == "complete" else None, state=state)
    history.record_start(trial.key, trial.seed)
    history.record_state(trial)


@pytest.mark.parametrize("state", ["complete", "pruned", "running"])
def test_a_baseline_has_to_run_once_with_each_seed(state):
    history = ProposalHistory(SITES)
    assert history.lacks(KEY, 0)
    ended(history, state)
    assert not history.lacks(KEY, 0)
    assert history.lacks(KEY, 1)
    assert history.seeds[KEY] == {0}


def test_a_baseline_that_fails_is_tried_again_a_few_times():
    history = ProposalHistory(SITES)
    ended(history, "complete", "net+eca@all.post")
    for _ in range(MAX_BASELINE_ATTEMPTS - 1):
        ended(history, "failed")
        assert history.lacks(KEY, 0)
    ended(history, "failed")
    assert not history.lacks(KEY, 0)


def test_while_nothing_has_completed_it_is_tried_however_often_it_failed():
    history = ProposalHistory(SITES)
    for _ in range(MAX_BASELINE_ATTEMPTS + 2):
        ended(history, "failed")
        assert history.lacks(KEY, 0)
    ended(history, "complete", "net+eca@all.post")
    assert not history.lacks(KEY, 0)


def test_a_rejected_architecture_is_not_proposed_again():
    history = ProposalHistory(SITES)
    architecture = parse("net+eca@all.post")
    assert (history.reason_against(architecture), history.exclusions) == (None, 0)
    history.record_start(architecture.key, 3)
    history.record_rejection(architecture.key, 3, "params is 9, above the limit of 8")
    assert history.reason_against(architecture) == "params is 9, above the limit of 8"
    assert history.reason_against(parse("net+se@all.post")) is None
    assert history.exclusions == 1
    assert history.seeds[architecture.key] == set()
