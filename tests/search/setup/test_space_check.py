"""A space is checked before anything slow: whether its attentions work, and fit the limits."""

from __future__ import annotations

import itertools
import logging
import math

import pytest
from attentune.errors import AttentionError, SpaceError
from attentune.runners.costs import CostModel
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs
from attentune.search.setup.space_check import check_space, largest_costs
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space, load_space

STAGES = {"attentions": ("none", "se", "eca", "ca"), "ratios": (4, 16), "granularity": "stage"}
NO_NONE = {**STAGES, "attentions": ("se", "eca", "ca")}
SHARED = {**STAGES, "attentions": ("se", "eca", "ca"), "shared": ("attention",)}
MODEL = CostModel("test_resnet", Recipe.of(data="", image_size=32), 10)


def bind(**fields):
    return bind_space(Space.of(**fields), MODEL.site_map)


def all_costs(space) -> list[Costs]:
    """Of every architecture with an insertion."""
    architectures = map(space.architecture_at, range(space.count()))
    return [MODEL.price(a) for a in architectures if a.insertions]


@pytest.mark.parametrize("fields", [STAGES, NO_NONE, SHARED], ids=["none", "no none", "shared"])
@pytest.mark.parametrize("key", ["params", "macs"])
def test_the_cheapest_architecture_is_the_cheapest_of_all(fields, key):
    space = bind(**fields)
    cheapest = min(getattr(costs, key) for costs in all_costs(space))
    check_space(space, MODEL, {key: cheapest})
    with pytest.raises(SpaceError) as caught:
        check_space(space, MODEL, {key: cheapest - 1})
    assert f"--max-{key} {cheapest - 1:,}" in str(caught.value)
    assert f"needs {cheapest:,}" in str(caught.value)


@pytest.mark.parametrize("fields", [STAGES, NO_NONE, SHARED], ids=["none", "no none", "shared"])
def test_the_largest_costs_are_the_largest_of_all(fields):
    space = bind(**fields)
    for key, largest in largest_costs(space, MODEL).items():
        assert largest == max(getattr(costs, key) for costs in all_costs(space)), key


def is_cheaper(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """In one cost, and not dearer in the other."""
    return a != b and a[0] <= b[0] and a[1] <= b[1]


@pytest.mark.parametrize("fields", [NO_NONE, SHARED], ids=["no none", "shared"])
def test_two_limits_have_to_be_met_at_once(fields):
    space = bind(**fields)
    pairs = {(costs.params, costs.macs) for costs in all_costs(space)}
    front = sorted(
        p for p in pairs if not any(o != p and o[0] <= p[0] and o[1] <= p[1] for o in pairs)
    )
    for params, macs in front:
        check_space(space, MODEL, {"params": params, "macs": macs})
    for (params, _), (_, macs) in itertools.pairwise(front):
        with pytest.raises(SpaceError, match=r"--max-params .* and --max-macs"):
            check_space(space, MODEL, {"params": params, "macs": macs})
    least = {"params": min(p for p, _ in pairs) - 1, "macs": math.inf}
    with pytest.raises(SpaceError, match="within --max-params"):
        check_space(space, MODEL, least)


def test_limits_that_are_measured_later_refuse_nothing():
    check_space(bind(**STAGES), MODEL, {"latency_ms": 1e-9, "memory_mib": 1e-9})


def test_the_cheapest_of_a_huge_space_is_known_at_once():
    recipe = Recipe.of(data="", image_size=32)
    model = CostModel("densenet121", recipe, 10)
    space = bind_space(load_space("quick", granularity="block"), model.site_map)
    bare = model.price(space.architecture_at(0)).params
    with pytest.raises(SpaceError, match=r"the cheapest, densenet121\+eca.*, needs .* parameters"):
        check_space(space, model, {"params": bare})


class Broken:
    """Costs of a space in which some choices cannot be used."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken

    def price(self, architecture):
        for text in self.broken:
            if text in str(architecture):
                raise AttentionError(f"{text} cannot be used: it raises KeyError")
        return MODEL.price(architecture)


def test_what_cannot_be_used_is_logged_and_the_rest_is_searched(caplog, monkeypatch):
    monkeypatch.setattr("attentune.search.setup.space_check.ATTENTIONS", {})
    check_space(bind(**STAGES), Broken("+ca"), {})
    assert caplog.messages == [
        "+ca cannot be used: it raises KeyError",
        "architectures with one of these are rejected before training",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize(
    ("fields", "broken"), [(STAGES, ("se", "eca", "ca")), (NO_NONE, ("@s2",)), (SHARED, ("+",))]
)
def test_a_space_in_which_nothing_can_be_used_is_refused(fields, broken, monkeypatch):
    monkeypatch.setattr("attentune.search.setup.space_check.ATTENTIONS", {})
    with pytest.raises(SpaceError, match=r"no attention of the space .* can be used on test_res"):
        check_space(bind(**fields), Broken(*broken), {})
