"""Pruners that have seen some trials, without a study around them."""

from __future__ import annotations

import itertools

import example_records
import pytest
from attentune.runners.results import Costs, EpochReport
from attentune.search.pruning.registry import make_pruner
from attentune.search.trial_source import Proposal
from attentune.spaces.architecture import parse
from attentune.studies.records import SEARCH


def judge_after_two_epochs(pruner, number, text, params=1000):
    """Why the pruner would stop a trial after its second epoch, which went like any other."""
    costs = Costs(params, 10)
    trial = Proposal(number, parse(text), 0, SEARCH, costs)
    return pruner.judge(trial, SEARCH, EpochReport(2, 1.0, 0.1, 0.0, 0.0, 1.0), costs)


def pruner_after_nine_trials(config):
    """A pruner that has seen SE end well, and ECA badly, in three stages; and the next number."""
    pruner, ends = make_pruner(config), {"se": 0.8, "eca": 0.4, "cbam": 0.6}
    for number, (name, stage) in enumerate(itertools.product(ends, (1, 2, 3))):
        text = f"test_resnet+{name}@s{stage}.residual"
        judge_after_two_epochs(pruner, number, text)
        pruner.on_trial_end(example_records.trial(number, text, ends[name] + 0.01 * stage))
    return pruner, number + 1


@pytest.fixture
def judge():
    return judge_after_two_epochs


@pytest.fixture
def after_nine_trials():
    return pruner_after_nine_trials
