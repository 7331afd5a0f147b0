"""An attention is unmoved as long as it returns its map unchanged."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.unmoved_attentions import count_unmoved_attentions
from attentune.spaces.networks.attention_checks import labelled_attentions
from torch import nn

SITES = 4


def change_weights(parameters) -> None:
    """Move weights away from where they started, as training does."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture
def trained(network):
    """A network whose residual branches are not zero any more, but whose attentions are new."""

    def trained(text: str) -> nn.Module:
        model = network(text)
        new = {id(p) for a in labelled_attentions(model) for p in a.parameters()}
        change_weights(p for p in model.parameters() if id(p) not in new)
        return model

    return trained


@pytest.mark.parametrize("name", ["se", "eca", "cbam", "ca"])
def test_at_the_identity_start_all_are_unmoved_and_after_a_change_of_the_weights_none(
    name: str, trained, digits, tiny_recipe
) -> None:
    model = trained(f"test_resnet+{name}(start=identity)@all.residual")
    assert count_unmoved_attentions(model, digits, tiny_recipe) == (SITES, SITES)
    for attention in labelled_attentions(model):
        change_weights(attention.parameters())
    assert count_unmoved_attentions(model, digits, tiny_recipe) == (0, SITES)


def test_only_what_is_unmoved_is_counted(trained, digits, tiny_recipe) -> None:
    model = trained("test_resnet+se@s1.residual+se(start=identity)@s2-s4.residual")
    assert count_unmoved_attentions(model, digits, tiny_recipe) == (3, SITES)
    assert count_unmoved_attentions(trained("test_resnet"), digits, tiny_recipe) == (0, 0)


def test_a_map_of_zeros_shows_nothing(network, digits, tiny_recipe) -> None:
    """A new residual branch ends in a norm at zero."""
    model = network("test_resnet+se(start=identity)@all.residual")
    assert count_unmoved_attentions(model, digits, tiny_recipe) == (0, SITES)
