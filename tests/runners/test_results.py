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


def test_a_measured_cost_exceeds_a_limit_by_more_than_its_noise_or_not_at_all():
    """A latency within two standard errors of the limit is accepted, and that is said."""
    costs = Costs(1, 1, latency_ms=8.25, latency_ms_error=0.1)
    assert costs.exceeded_limit({"latency_ms": 8.0}) == (
        "latency_ms is 8.25 ± 0.1, above the limit of 8 by more than its noise"
    )
    assert costs.exceeded_limit({"latency_ms": 8.1}) is None
    assert costs.limit_within_noise({"params": 1, "latency_ms": 8.1}) == (
        "latency_ms is 8.25 ± 0.1, within its noise of the limit of 8.1"
    )
    assert costs.limit_within_noise({"latency_ms": 9.0}) is None
    assert costs.excess("latency_ms", 8.0) == pytest.approx(0.05)
    assert costs.excess("memory_mib", 8.0) is None


@pytest.mark.parametrize("limits", [{}, {"params": 5e6}, {"memory_mib": 1.0}])
def test_costs_that_keep_their_limits_or_were_not_measured_exceed_none(limits):
    assert COSTS.exceeded_limit(limits) is None
