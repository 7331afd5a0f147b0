"""The family of a backbone is read from timm's names."""

from __future__ import annotations

import pytest
from attentune.spaces.backbones.families import (
    count_different_tokens,
    extended_family,
    family,
    family_pattern,
    with_tag_of,
)


@pytest.mark.parametrize(
    ("backbone", "pattern"),
    [
        ("resnet18", "resnet*"),
        ("resnet18d.ra2_in1k", "resnet*d"),
        ("resnetv2_50", "resnetv2_*"),
        ("mobilenetv3_small_050", "mobilenetv3_*_*"),
        ("efficientnet_b0", "efficientnet_*"),
        ("efficientnet_lite0", "efficientnet_lite*"),
        ("convnext_nano", "convnext_*"),
        ("regnety_002", "regnety_*"),
        ("vit_tiny_patch16_224", "vit_*_patch16_*"),
        ("swin_tiny_patch4_window7_224", "swin_*_patch4_window7_*"),
        ("edgenext_xx_small", "edgenext_*"),
        ("repvgg_b1g4", "repvgg_*g4"),
        ("mixnet_s", "mixnet_*"),
        ("vgg11_bn", "vgg*_bn"),
    ],
)
def test_sizes_are_told_from_versions_variants_and_patches(backbone: str, pattern: str) -> None:
    assert "".join(family_pattern(backbone)) == pattern


def test_a_family_differs_in_sizes_only() -> None:
    assert {"resnet34", "resnet50", "resnet101"} <= set(family("resnet18"))
    assert not {"resnet18", "resnet34d", "resnet50_gn", "resnetv2_50"} & set(family("resnet18"))
    assert "mobilenetv3_large_100" in family("mobilenetv3_small_050")
    assert family("test_resnet") == ()


def test_an_extended_family_has_more_or_fewer_sizes() -> None:
    assert "mobilenetv4_conv_small" in extended_family("mobilenetv4_conv_small_050")
    assert "test_convnext2" in extended_family("test_convnext")


def test_names_differ_in_a_number_of_tokens() -> None:
    assert count_different_tokens("resnet18", "resnet34.a1_in1k") == 1
    assert count_different_tokens("vit_tiny_patch16_224", "vit_small_patch16_384") == 2


def test_a_tag_is_kept_if_the_other_model_has_it() -> None:
    assert with_tag_of("resnet18.a1_in1k", "resnet34") == "resnet34.a1_in1k"
    assert with_tag_of("resnet18.no_such_tag", "resnet34") == "resnet34"
