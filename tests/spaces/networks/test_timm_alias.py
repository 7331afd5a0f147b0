"""An architecture under a name that timm knows."""

from __future__ import annotations

import warnings

import attentune
import pytest
import torch
from attentune.errors import ArchitectureError, BackboneError, UsageError
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.attention_checks import labelled_attentions

timm = import_timm()
TEXT = "resnet10t+cbam(r=8)@all.residual+eca@s4.post"


def test_timm_makes_the_network_of_a_registered_name():
    attentune.register("resnet10t_cbam", TEXT, seed=0)
    model = timm.create_model("resnet10t_cbam", num_classes=3).eval()
    expected = attentune.create_model(TEXT, num_classes=3, seed=0).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), expected(images))
    assert timm.get_pretrained_cfg("resnet10t_cbam").input_size == (3, 176, 176)


def test_a_registered_name_gives_features_with_their_attention():
    attentune.register("resnet10t_features", TEXT)
    model = timm.create_model("resnet10t_features", features_only=True, out_indices=(1, 2))
    shapes = [tuple(features.shape) for features in model(torch.randn(1, 3, 64, 64))]
    assert shapes == [(1, 64, 16, 16), (1, 128, 8, 8)]
    assert len(labelled_attentions(model)) == 2


def test_a_name_is_registered_again_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attentune.register("resnet10t_again", TEXT)
        attentune.register("resnet10t_again", "resnet10t+eca@all.residual")
    assert len(labelled_attentions(timm.create_model("resnet10t_again"))) == 4


def test_segmentation_models_have_encoders_with_attention():
    import segmentation_models_pytorch as smp

    attentune.register("resnet10t_encoder", "resnet10t+cbam(r=8)@all.residual")
    model = smp.Unet(
        "tu-resnet10t_encoder",
        encoder_weights=None,
        encoder_depth=4,
        decoder_channels=(16, 8, 8, 8),
        classes=2,
    )
    assert len(labelled_attentions(model)) == 3  # Its encoder ends before the last stage.
    masks = model(torch.randn(2, 3, 64, 64))
    assert masks.shape == (2, 2, 64, 64)
    masks.square().mean().backward()
    assert all(p.grad is not None for a in labelled_attentions(model) for p in a.parameters())


@pytest.mark.parametrize(
    ("alias", "text", "kind", "sentence"),
    [
        ("resnet18", TEXT, UsageError, "timm has a model 'resnet18' already"),
        ("a.b", TEXT, UsageError, "cannot be the name of a timm model"),
        ("", TEXT, UsageError, "cannot be the name of a timm model"),
        ("fine", "resnet10t+see@all.post", ArchitectureError, "unknown attention 'see'"),
        ("fine", "resnet10t+se@s9.post", ArchitectureError, "has no s9"),
        ("fine", "resnet10s+se@all.post", BackboneError, "timm has no model 'resnet10s'"),
    ],
)
def test_what_cannot_be_registered_gets_a_sentence(alias, text, kind, sentence):
    with pytest.raises(kind, match=sentence):
        attentune.register(alias, text)
    assert not timm.is_model("fine")
