"""attentune's own small backbones are models of timm, and their trials need no plug-in."""

from __future__ import annotations

import attentune
import pytest
import torch
from attentune.errors import AttentuneError
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.timm_compat import (
    backbone_names,
    check_backbone,
    import_timm,
    native_size,
)


@pytest.mark.parametrize(("name", "parameters"), [("resnet6", 308_826), ("resnet6_050", 78_002)])
def test_timm_knows_them_and_builds_them(name, parameters):
    check_backbone(name)
    assert name in backbone_names()
    assert native_size(name) == 36
    model = import_timm().create_model(name, num_classes=10)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model(torch.zeros(1, 3, 36, 36)).shape == (1, 10)


def test_their_maps_are_large_enough_for_attention_in_space():
    sites = find_sites("resnet6_050").sites
    maps = {site.stage: site.height for site in sites if site.position == "residual"}
    assert maps == {1: 18, 2: 9, 3: 5, 4: 3}


def test_they_have_no_pretrained_weights_and_say_so():
    with pytest.raises(AttentuneError, match="no weights for resnet6_050"):
        attentune.create_model("resnet6_050", pretrained=True)
    with pytest.raises(RuntimeError, match="no pretrained weights"):
        import_timm().create_model("resnet6_050", pretrained=True)
