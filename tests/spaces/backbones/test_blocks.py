"""Blocks are the modules that join maps, and their siblings."""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.backbones.blocks import find_block_modules
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.backbones.trace import trace_model


@pytest.mark.parametrize(
    ("backbone", "paths"),
    [
        ("test_resnet", [f"layer{stage}.0" for stage in (1, 2, 3, 4)]),
        ("test_efficientnet", [f"blocks.{stage}.0" for stage in range(5)]),
        (
            "test_mambaout",
            [
                *(f"stages.{stage}.blocks.0" for stage in (0, 1)),
                *(f"stages.2.blocks.{block}" for block in (0, 1, 2)),
                "stages.3.blocks.0",
            ],
        ),
    ],
)
def test_the_blocks_of_a_small_backbone(backbone, paths):
    with torch.device("meta"):
        model = import_timm().create_model(backbone).eval()
    trace = trace_model(model, torch.zeros(1, 3, 64, 64, device="meta"))
    blocks = find_block_modules(trace)
    assert [block.call.path for block in blocks] == paths
    assert all(trace.is_map(block.output) for block in blocks)
    assert not any(block.works_on_tokens for block in blocks)


def test_a_plain_chain_has_a_block_for_every_convolution_with_its_activation():
    with torch.device("meta"):
        model = import_timm().create_model("vgg11_bn").eval()
    trace = trace_model(model, torch.zeros(1, 3, 64, 64, device="meta"))
    blocks = find_block_modules(trace)
    assert [block.call.path for block in blocks][:3] == ["features.0", "features.4", "features.8"]
    assert [block.tail.path for block in blocks][:3] == ["features.2", "features.6", "features.10"]
