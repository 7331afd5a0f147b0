"""Modules of a user's attention: counted, blended in, and checked against the contract."""

from __future__ import annotations

import attentune
import pytest
import torch
from attentune.errors import AttentuneError
from attentune.spaces.attentions.registry import get_attention
from torch import nn


def test_parameters_are_counted_on_a_module_if_there_is_no_formula(register):
    register()
    settings = {**get_attention("wave").defaults, "waves": 3}
    assert get_attention("wave").parameters(64, settings, (7, 7)) == 64 * 8 + 8 * 3 * 64


def test_a_formula_that_is_wrong_is_noticed_when_the_network_is_built(register):
    register(parameters=lambda *_: 1)
    with pytest.raises(AttentuneError, match=r"wave at s1b1.* of .*conftest:Wave gives 1;"):
        attentune.create_model("test_resnet+wave@s1.residual", image_size=64)


def test_every_class_has_an_identity_start_that_can_be_left(register):
    register()
    settings = {**get_attention("wave").defaults, "start": "identity"}
    module = get_attention("wave").load()(16, reduction_ratio=8, start="identity")
    assert sum(p.numel() for p in module.parameters()) == (
        get_attention("wave").parameters(16, settings, (7, 7))
    )
    x = torch.randn(3, 16, 5, 4)
    assert torch.equal(module(x), x)
    (module(x) - torch.randn(3, 16, 5, 4)).square().mean().backward()
    assert module.weight.grad != 0


def test_a_class_that_takes_start_makes_its_own(register):
    class Started(nn.Module):
        def __init__(self, channels, start="paper"):
            super().__init__()
            self.scale = nn.Parameter(torch.full((channels, 1, 1), 1.0 - (start == "paper") / 2))

        def forward(self, x):
            return x * self.scale

    register(Started, "started")
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(get_attention("started").load()(4, start="identity")(x), x)
    assert torch.equal(get_attention("started").load()(4, start="paper")(x), x / 2)
    assert get_attention("started").parameters(4, {"start": "identity"}, (1, 1)) == 4


def test_checking_a_class_leaves_random_numbers_and_statistics_alone(register):
    class Noisy(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.bn = nn.BatchNorm2d(channels)

        def forward(self, x):
            return self.bn(x + torch.rand_like(x))

    register(Noisy, "noisy")
    before = torch.random.get_rng_state()
    module = get_attention("noisy").load()(4, start="paper")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert module.training
    assert module.bn.num_batches_tracked == 0


class Shrinks(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return x[:, :, 1:]


class ReturnsPair(Shrinks):
    def forward(self, x):
        return x, x


class Raises(Shrinks):
    def forward(self, x):
        raise IndexError(f"no wave {len(x)}")


class RaisesWhenMade(nn.Module):
    def __init__(self, channels):
        raise KeyError(channels)


class NoModule:
    def __init__(self, channels):
        self.channels = channels


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Shrinks, r"'bad' of .*Shrinks changes the shape: \(2, 96?, 5, 7\) became"),
        (ReturnsPair, "'bad' of .*ReturnsPair changes the shape.* became no tensor"),
        (Raises, "'bad' of .*Raises raises on a map .*IndexError: no wave 2"),
        (RaisesWhenMade, "'bad' of .* raises when it is made for .* channels .KeyError"),
        (NoModule, "'bad' of .*NoModule is no torch.nn.Module"),
    ],
)
def test_broken_class_is_reported_by_name(register, cls, words):
    register(cls, "bad", parameters=lambda *_: 0)
    words = words.replace("96?", r"\d+")
    with pytest.raises(AttentuneError, match=words):
        attentune.create_model("test_resnet+bad@s1.residual", image_size=64)
