"""Costs name the limit that they exceed."""

from __future__ import annotations

import pytest
from attentune.runners.results import Costs

COSTS = Costs(params=5_000_000, macs=10**9, latency_ms=8.25)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"params": 4e6}, "params is 5,000,000, above the limit of 4,000,000"),
        ({"macs": 2e9, "latency_ms": 8}, "latency_ms is 8.25, above the limit of 8"),
    ],
)
def test_an_exceeded_limit_is_named_with_the_value(limits, reason):
    assert COSTS.exceeded_limit(limits) == reason


@pytest.mark.parametrize("limits", [{}, {"params": 5e6}, {"memory_mib": 1.0}])
def test_costs_that_keep_their_limits_or_were_not_measured_exceed_none(limits):
    assert COSTS.exceeded_limit(limits) is None
