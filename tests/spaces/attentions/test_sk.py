"""Selective kernels, which need the convolution whose map they weigh."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import ArchitectureError
from attentune.spaces.networks.build import build_network
from attentune.spaces.networks.canonical import resolve_architecture
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space


def test_selective_kernels_join_a_convolution_and_are_refused_where_there_is_none():
    sites = resolve_architecture("res2net50_26w_4s")[1]
    assert "mid" in sites.positions
    with pytest.raises(
        ArchitectureError, match=r"sk .* s1b1\.mid .* follows no single convolution"
    ):
        resolve_architecture("res2net50_26w_4s+sk@all.mid")
    space = Space.of(
        attentions=("se", "sk"), ratios=(4,), positions=("mid",), granularity="network"
    )
    assert bind_space(space, sites).count() == 1


@pytest.mark.parametrize("text", ["resnet18+sk(start=identity)@all.mid", "vgg11_bn+sk@s2.mid"])
def test_selective_kernels_at_mid_see_what_the_convolution_saw(text):
    architecture, _ = resolve_architecture(text, image_size=64)
    model = build_network(architecture, num_classes=5, image_size=64, seed=0)
    inside = [m for m in model.modules() if type(m).__name__ == "SelectiveKernel"]
    input_channels = []
    for module in inside:
        module.branch[0].register_forward_pre_hook(
            lambda _, args: input_channels.append(args[0].shape[1])
        )
    model(torch.randn(2, 3, 64, 64))
    assert len(inside) == len(input_channels)
    assert input_channels == [module.branch[0].in_channels for module in inside]
    assert any(m.branch[0].in_channels != m.branch[0].out_channels for m in inside)


def test_attention_for_one_position_is_refused_elsewhere():
    with pytest.raises(ArchitectureError, match=r"sk has a meaning only at mid, not at s1b1\.pre"):
        resolve_architecture("test_resnet+sk@all.pre")
    text = "test_resnet+sk(r=2)@s2-s4.mid"
    assert str(resolve_architecture(text)[0]) == text
