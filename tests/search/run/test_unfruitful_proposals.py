"""A search that has nothing left to try ends with a sentence."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from attentune.errors import SpaceError
from attentune.runners.results import Costs
from attentune.search.run import unfruitful_proposals
from attentune.search.run.proposal_history import ProposalHistory
from attentune.search.run.unfruitful_proposals import UnfruitfulProposals
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space, load_space

SITES = find_sites("test_resnet", image_size=32)
LARGE = bind_space(load_space("full"), SITES)
SMALL = bind_space(Space.of(attentions=("none", "eca"), granularity="network"), SITES)
ECA = parse("test_resnet+eca(start=identity)@all.residual")
BARE = parse("test_resnet")


@pytest.fixture
def history():
    return ProposalHistory(SITES)


def proposals_of(space, history):
    costs = SimpleNamespace(price=lambda _: Costs(1, 1))
    return UnfruitfulProposals(space, {"latency_ms": 3.0}, costs, history)


def test_a_thousand_rejections_in_a_row_end_a_search(history, monkeypatch):
    monkeypatch.setattr(unfruitful_proposals, "MAX_REJECTED_PROPOSALS", 5)
    proposals = proposals_of(LARGE, history)
    for number in range(20):
        for _ in range(4):
            proposals.on_rejection("params is 9")
        proposals.on_proposal(number, ECA)
    for _ in range(4):
        proposals.on_rejection("params is 9")
    with pytest.raises(SpaceError, match="5 proposals in a row were rejected, the last because pa"):
        proposals.on_rejection("params is 9")


def test_networks_that_are_all_too_slow_end_a_search(history, monkeypatch):
    monkeypatch.setattr(unfruitful_proposals, "MAX_MEASURED_REJECTIONS", 5)
    proposals = proposals_of(LARGE, history)
    for number in range(20):
        for _ in range(4):
            proposals.on_measured_rejection("latency_ms is 9, above the limit of 3")
        proposals.on_epoch(number)
    for _ in range(4):
        proposals.on_measured_rejection("latency_ms is 9, above the limit of 3")
    with pytest.raises(SpaceError, match=r"5 architectures in a row exceed .* latency_ms is 9"):
        proposals.on_measured_rejection("latency_ms is 9, above the limit of 3")


def test_the_bare_backbone_alone_does_not_count_as_a_success(history, monkeypatch):
    monkeypatch.setattr(unfruitful_proposals, "MAX_MEASURED_REJECTIONS", 5)
    proposals = proposals_of(LARGE, history)
    for number in range(4):
        proposals.on_measured_rejection("latency_ms is 9")
        proposals.on_proposal(number, BARE)
        proposals.on_epoch(number)
    with pytest.raises(SpaceError, match="5 architectures in a row exceed"):
        proposals.on_measured_rejection("latency_ms is 9")


def test_the_bare_backbone_among_rejections_ends_a_search(history):
    proposals = proposals_of(LARGE, history)
    for number in range(9):
        proposals.on_rejection("it raises KeyError")
        proposals.on_proposal(number, BARE)
    with pytest.raises(SpaceError, match="the bare backbone was proposed 10 times in a row"):
        proposals.on_proposal(9, BARE)


def test_the_bare_backbone_may_be_the_best(history):
    proposals = proposals_of(LARGE, history)
    for number in range(50):
        proposals.on_proposal(number, BARE)


def test_in_a_small_space_the_last_rejection_ends_the_search(history):
    proposals = proposals_of(SMALL, history)
    proposals.on_proposal(0, BARE)
    history.record_rejection(ECA.key, 0, "latency_ms is 9, above the limit of 3")
    with pytest.raises(SpaceError, match=r"left to try but the bare backbone: latency_ms is 9"):
        proposals.on_measured_rejection("latency_ms is 9, above the limit of 3")
