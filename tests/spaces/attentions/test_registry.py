"""Looking attentions up by name: built-in ones, and those that users registered."""

from __future__ import annotations

import pytest
from attentune.errors import ArchitectureError
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.plugins import register
from attentune.spaces.attentions.registry import get_attention, is_available
from torch import nn


class Doubling(nn.Module):
    """Twice the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        del channels

    def forward(self, x):
        return 2 * x


@pytest.fixture
def registered(monkeypatch):
    """A user's attention `doubling`, for one test."""
    monkeypatch.setattr(register, "_registered", {})
    register._resolve.cache_clear()
    register.register_attention("doubling")(Doubling)
    yield "doubling"
    register._resolve.cache_clear()


def test_a_name_is_looked_up_in_the_catalogue_and_among_the_users_own(registered):
    assert get_attention("se") is ATTENTIONS["se"]
    assert get_attention(registered).title == "Twice the map."
    assert get_attention(registered).origin.endswith("test_registry:Doubling")
    assert [is_available(name) for name in ("se", registered, "wave")] == [True, True, False]


def test_unknown_attention_names_the_closest(registered):
    with pytest.raises(ArchitectureError, match="unknown attention 'ecca'; did you mean 'eca'"):
        get_attention("ecca")
    with pytest.raises(ArchitectureError, match="unknown attention 'dubling'; did you mean 'doub"):
        get_attention("dubling")
