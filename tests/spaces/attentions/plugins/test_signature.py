"""Options of a user's attention, read from its signature or declared."""

from __future__ import annotations

import pytest
from attentune.errors import ArchitectureError, AttentuneError
from attentune.spaces.architecture import parse
from attentune.spaces.attentions.entry import Option
from attentune.spaces.attentions.registry import get_attention
from torch import nn


def test_options_come_from_the_signature(register):
    register(kind="channel")
    entry = get_attention("wave")
    assert entry.title == "A gate from a few waves over the channels."
    assert entry.kind == "channel"
    assert entry.origin.endswith("conftest:Wave")
    assert entry.defaults == {
        "r": 8,
        "waves": 2,
        "gain": 0.5,
        "joined": False,
        "mode": "sum",
        "start": "paper",
    }
    assert entry.option("mode").legal == "sum or product"
    assert entry.option("gain").parse("1e-3") == 0.001
    with pytest.raises(ValueError, match="gain cannot be 'inf'; legal: number"):
        entry.option("gain").parse("inf")
    with pytest.raises(ValueError, match=r"waves cannot be '2\.5'; legal: whole number"):
        entry.option("waves").parse("2.5")


def test_a_declared_option_says_more_than_the_signature(register):
    register(options=[Option("waves", 2, "how many", low=1, high=9)])
    entry = get_attention("wave")
    assert list(entry.defaults) == ["waves", "start"]
    assert entry.option("waves").legal == "whole number ≥ 1 and ≤ 9"
    with pytest.raises(ArchitectureError, match="whole number ≥ 1 and ≤ 9"):
        parse("resnet18+wave(waves=10)@all.mid")


class ChannelsOnly(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels


class Required(ChannelsOnly):
    def __init__(self, channels, waves):
        super().__init__(channels + waves)


class FreeText(ChannelsOnly):
    def __init__(self, channels, mode="sum"):
        super().__init__(channels + len(mode))


class NoChannels(ChannelsOnly):
    def __init__(self):
        super().__init__(1)


@pytest.mark.parametrize(
    ("cls", "facts", "words"),
    [
        (Required, {}, "argument 'waves' needs a default"),
        (FreeText, {}, "'mode' needs a default .* Literal"),
        (NoChannels, {}, "has to take the channels"),
        (ChannelsOnly, {"options": [Option("k", 3, "kernel")]}, "declares 'k', but takes no 'k'"),
    ],
)
def test_signature_that_no_text_can_call_is_refused(register, cls, facts, words):
    with pytest.raises(AttentuneError, match=words):
        register(cls, "bad", **facts)
