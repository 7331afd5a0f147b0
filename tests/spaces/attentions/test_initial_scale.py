"""Published starts shrink the maps of a pretrained network; identity starts do not change them."""

from __future__ import annotations

import pytest
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.initial_scale import measure_initial_scale


@pytest.mark.parametrize(
    ("name", "scale"), [("se", 0.5), ("eca", 0.5), ("cbam", 0.25), ("ca", 0.25)]
)
def test_a_published_gate_passes_half_of_the_map_and_two_gates_a_quarter(name, scale):
    assert measure_initial_scale(name, "paper") == pytest.approx(scale, rel=0.3)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_an_identity_start_passes_the_whole_map(name):
    assert measure_initial_scale(name, "identity") in (None, pytest.approx(1.0))
