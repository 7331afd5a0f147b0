"""Latency: ratios in which drift cancels, and errors that cover a repetition of the measurement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from attentune.runners import latency as latency_module
from attentune.runners.latency import (
    ForwardTimer,
    Latency,
    TimedNetwork,
    add_error_of_repetition,
    exclude_savings,
    measure_latency,
    median_with_error,
    only_adds,
    round_to_error,
    time_networks,
)
from attentune.runners.results import Costs
from attentune.spaces.architecture import parse

CPU = torch.device("cpu")
IMAGES = torch.zeros(1, 3, 8, 8)


class Machine:
    """A simulated machine: its speed drifts, its caches are shared, and it stalls at times."""

    def __init__(self, seed: int = 0, *, drift: float = 0.0, noise: float = 0.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.now, self.drift, self.noise = 0.0, drift, noise
        self.load = 0.0

    def compute(self, seconds: float) -> None:
        # Other processes come and go.
        self.load = 0.95 * self.load + self.noise * self.rng.normal()
        stall = 5.0 if self.rng.random() < self.noise / 10 else 1.0
        self.now += seconds * (1 + self.drift * self.now) * (1 + abs(self.load)) * stall


class SimulatedNetwork(torch.nn.Module):
    def __init__(self, machine: Machine, seconds: float) -> None:
        super().__init__()
        self.machine, self.seconds = machine, seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.machine.compute(self.seconds)
        return x


def simulate(machine: Machine, seconds: float, bare_seconds: float = 2e-3) -> Latency:
    networks = [SimulatedNetwork(machine, s) for s in (seconds, bare_seconds)]
    latency, _ = time_networks([ForwardTimer(n, IMAGES, lambda: machine.now) for n in networks])
    return add_error_of_repetition(latency, 0.0)


def test_a_drift_of_the_machine_cancels_in_the_ratio() -> None:
    machine = Machine(drift=1.0)
    latency = simulate(machine, 3e-3)
    assert machine.now > 0.3  # It was half as fast again at the end.
    assert latency.ratio == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_repetitions_under_load_lie_within_their_own_errors(noise: float) -> None:
    """A standard error covers the truth in two of three cases, and twice the error nearly always.

    Ten identical networks differ from one another by no more than that.
    """
    repetitions = [simulate(Machine(seed, noise=noise), 2.4e-3) for seed in range(40)]
    errors = np.array([(r.ratio - 1.2) / r.ratio_error for r in repetitions])
    assert np.mean(np.abs(errors) <= 1) >= 0.65
    assert np.mean(np.abs(errors) <= 2) >= 0.95
    ten = repetitions[:10]
    mean = np.mean([r.ratio for r in ten])
    assert all(abs(r.ratio - mean) <= 2.5 * r.ratio_error for r in ten)


def test_the_bare_backbone_is_the_unit_by_definition() -> None:
    machine = Machine(noise=0.2)
    network = SimulatedNetwork(machine, 2e-3)
    latency, _ = time_networks([ForwardTimer(network, IMAGES, lambda: machine.now)])
    latency = add_error_of_repetition(latency, 1.0)
    assert (latency.ratio, latency.ratio_error) == (1.0, 0.0)
    assert latency.milliseconds_error > 0


def test_a_network_is_timed_beside_the_bare_backbone_and_the_bare_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed = []

    def count(timers: list[ForwardTimer]) -> tuple[Latency, float]:
        timed.append(len(timers))
        return time_networks(timers, seconds=0.05)

    monkeypatch.setattr(latency_module, "time_networks", count)
    network = TimedNetwork(parse("test_resnet+cbam(r=4)@all.residual"), 32, 10)
    bare, other = measure_latency(network.bare, CPU), measure_latency(network, CPU)
    larger = measure_latency(replace(network.bare, image_size=96), CPU, network.bare)
    assert timed == [1, 2, 2]
    assert larger.ratio > 1.3
    assert (bare.ratio, bare.ratio_error) == (1.0, 0.0)
    assert 1 <= other.ratio < 10
    assert other.ratio_error > 0


def test_the_weights_move_without_changing_the_network() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    timer = ForwardTimer(network, torch.randn(1, 3, 8, 8))
    before, addresses = network(timer.images), [p.data_ptr() for p in network.parameters()]
    timer.move()
    assert torch.equal(network(timer.images), before)
    assert [p.data_ptr() for p in network.parameters()] != addresses


def test_an_attention_that_is_only_added_saves_no_time() -> None:
    """A ratio below 1 is noise: equal to the bare backbone, with an error that covers it."""
    assert exclude_savings(Latency(5.0, 0.1, 0.99, 0.02)) == Latency(5.0 / 0.99, 0.1, 1.0, 0.02)
    assert exclude_savings(Latency(3.7, 0.1, 0.74, 0.02)) == Latency(5.0, 0.1, 1.0, 0.26)
    slower = Latency(5.0, 0.1, 1.01, 0.02)
    assert exclude_savings(slower) is slower


@pytest.mark.parametrize(
    ("text", "adds"),
    [
        ("resnet18+se@all.residual", True),
        ("resnet18", True),
        ("efficientnet_b0(attention=none)+eca@all.mid", False),  # It removes what costs time.
    ],
)
def test_without_its_own_attention_a_backbone_may_be_faster(text: str, adds: bool) -> None:
    assert only_adds(parse(text)) == adds


def test_in_a_study_the_time_follows_from_the_ratio_and_one_reference() -> None:
    latency = Latency(6.0, 0.5, 1.2, 0.03, "busy").as_multiple_of(Latency(10.0, 0.4))
    assert latency.milliseconds == pytest.approx(12.0)
    assert latency.milliseconds_error == pytest.approx(np.hypot(1.2 * 0.4, 0.03 * 10))
    assert latency.disturbance == "busy"


def test_costs_hold_the_digits_that_the_error_leaves() -> None:
    costs = Latency(5.20347, 0.0987, 1.0412345, 0.01234).add_to(Costs(1, 2))
    assert costs == Costs(1, 2, 5.203, 1.041, None, 0.099, 0.012)
    assert round_to_error(1234.5, 30.0) == (1234.0, 30.0)
    assert round_to_error(1.0, 0.0) == (1.0, 0.0)
    assert round_to_error(5.2034, 0.0996) == (5.2, 0.1)


def test_errors_grow_with_the_load_of_the_machine() -> None:
    """On a busy machine a repetition differs by more than the rounds of one measurement do."""
    measured = Latency(10.0, 0.1, 1.2, 0.01)
    quiet, busy = (add_error_of_repetition(measured, load) for load in (0.0, 1.0))
    assert quiet.milliseconds_error == pytest.approx(np.hypot(0.1, 0.3))
    assert busy.milliseconds_error == pytest.approx(np.hypot(0.1, 2.5))
    assert quiet.ratio_error == pytest.approx(np.hypot(0.01, 1.2 * 0.007))
    assert busy.ratio_error == pytest.approx(np.hypot(0.01, 1.2 * 0.03))


def test_one_disturbed_replicate_does_not_move_the_median_but_widens_the_error() -> None:
    quiet = [[1.0, 1.01, 0.99], [1.0, 1.01, 0.99], [1.0, 1.01, 0.99], [1.0, 1.01, 0.99]]
    median, error = median_with_error(quiet)
    disturbed, wider = median_with_error([*quiet[:3], [1.5, 1.5, 1.5]])
    assert median == pytest.approx(1.0)
    assert disturbed == pytest.approx(1.0, abs=0.011)
    assert error < 0.01 < 0.1 < wider
