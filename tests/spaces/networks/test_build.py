"""Building: the attention works exactly where the text says, and nothing else has changed."""

from __future__ import annotations

import copy
from dataclasses import replace
from zlib import crc32

import pytest
import torch
from attentune.errors import ArchitectureError, AttentuneError, BackboneError
from attentune.spaces.architecture import POSITIONS, parse
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.networks import placement
from attentune.spaces.networks.attended_module import visible_name
from attentune.spaces.networks.build import build_network, create_model, insert_all, remove_own
from attentune.spaces.networks.feature_extractor import ModuleLocator
from torch import Tensor, nn

SIZE = 32


def make(text: str, seed: int | None = 3, **options) -> nn.Module:
    options = {"num_classes": 5, "image_size": SIZE, **options}
    return build_network(parse(text), seed=seed, **options).eval()


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def attentions(model: nn.Module) -> dict[str, nn.Module]:
    """The inserted modules by path."""
    kinds = tuple(entry.load() for entry in ATTENTIONS.values())
    return {path: module for path, module in model.named_modules() if isinstance(module, kinds)}


def roughened(model: nn.Module) -> nn.Module:
    """No branch closed by a zero: norms and layer scales of the backbone at random, by name."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() == 1 and "attention" not in key:
                generator = torch.Generator().manual_seed(crc32(visible_name(key).encode()))
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.5)
    return model


def identity(x: Tensor) -> Tensor:
    return x


# --- every position against a forward pass written by hand ----------------------------------------


def basic_block(b, x, residual, mid, pre, shortcut, post):
    y = mid(b.act1(b.bn1(b.conv1(pre(x)))))
    y = residual(b.bn2(b.conv2(y)))
    return post(b.act2(y + shortcut(x if b.downsample is None else b.downsample(x))))


def bottleneck(b, x, residual, mid, pre, shortcut, post):
    y = mid(b.act2(b.bn2(b.conv2(b.act1(b.bn1(b.conv1(pre(x))))))))
    y = b.bn3(b.conv3(y))
    y = residual(y if b.se is None else b.se(y))
    return post(b.act3(y + shortcut(x if b.downsample is None else b.downsample(x))))


def inverted_residual(b, x, residual, mid, pre, shortcut, post):
    y = mid(b.bn2(b.conv_dw(b.bn1(b.conv_pw(pre(x))))))
    y = residual(b.bn3(b.conv_pwl(b.se(y))))
    return post(y + shortcut(x) if b.has_skip else y)


def convnext_block(b, x, residual, mid, pre, shortcut, post):
    y = mid(b.conv_dw(pre(x)))
    if b.use_conv_mlp:
        y = b.mlp(b.norm(y))
    else:
        y = b.mlp(b.norm(y.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    y = residual(y * b.gamma.reshape(1, -1, 1, 1))
    return post(y + shortcut(x))


def regnet_block(b, x, residual, mid, pre, shortcut, post):
    y = residual(b.conv3(b.se(mid(b.conv2(b.conv1(pre(x)))))))
    return post(b.act3(y + shortcut(b.downsample(x))))


def dense_layer(b, x, residual, mid, pre, _shortcut, post):
    x = torch.cat(x, 1)
    return post(residual(mid(b.conv2(b.norm2(b.conv1(b.norm1(pre(x))))))))


BLOCKS = [
    # backbone, place, path of the block, its forward, positions that it lacks
    ("resnet18", "s2b1", "layer2.0", basic_block, ()),
    ("resnet18", "s2b2", "layer2.1", basic_block, ()),
    ("resnet26", "s1b1", "layer1.0", bottleneck, ()),
    ("seresnet50", "s1b2", "layer1.1", bottleneck, ()),
    ("mobilenetv2_050", "s2b1", "blocks.1.0", inverted_residual, ("identity",)),
    ("mobilenetv2_050", "s2b2", "blocks.1.1", inverted_residual, ()),
    ("mobilenetv3_small_050", "s3b2", "blocks.2.1", inverted_residual, ()),
    ("efficientnet_b0", "s3b2", "blocks.2.1", inverted_residual, ()),
    ("convnext_atto", "s2b1", "stages.1.blocks.0", convnext_block, ()),
    ("test_convnext", "s2b2", "stages.1.blocks.1", convnext_block, ()),
    ("regnety_002", "s3b1", "s3.b1", regnet_block, ()),
    ("regnetx_002", "s3b2", "s3.b2", regnet_block, ()),
    ("densenet121", "s1b2", "features.denseblock1.denselayer2", dense_layer, ("identity",)),
]
SLOTS = {"residual": 0, "mid": 1, "pre": 2, "identity": 3, "post": 4}


@pytest.mark.parametrize(("backbone", "place", "path", "forward", "lacking"), BLOCKS)
def test_each_position_is_where_its_name_says(backbone, place, path, forward, lacking):
    plain = roughened(make(backbone)).get_submodule(path)
    inputs = _inputs(plain, forward)
    for position, slot in SLOTS.items():
        if position in lacking:
            with pytest.raises(ArchitectureError, match=f"no {position}"):
                make(f"{backbone}+eca@{place}.{position}")
            continue
        model = roughened(make(f"{backbone}+eca@{place}.{position}"))
        ((where, attention),) = attentions(model).items()
        slots = [attention if index == slot else identity for index in range(5)]
        expected = forward(plain, copy.deepcopy(inputs), *slots)
        if position == "pre" and not where.startswith(path):
            # The block reads its input once, so its `pre` is what the module before it returns.
            before = model.get_submodule(where.partition(".attention.")[0])
            returned = []
            before.register_forward_hook(lambda _m, _a, out, kept=returned: kept.append(out))
            arrived = []
            model.get_submodule(path).register_forward_pre_hook(
                lambda _m, args, kept=arrived: kept.append(args[0])
            )
            model(torch.randn(1, 3, SIZE, SIZE))
            assert arrived[0] is returned[0]
            continue
        output = model.get_submodule(path)(copy.deepcopy(inputs))
        assert torch.equal(output, expected), position
        bare = forward(plain, copy.deepcopy(inputs), *[identity] * 5)
        assert not torch.allclose(output, bare), position


def _inputs(block: nn.Module, forward) -> Tensor | list[Tensor]:
    torch.manual_seed(0)
    first = next(m for m in block.modules() if isinstance(m, nn.Conv2d))
    if forward is dense_layer:
        return [torch.randn(2, 64, 8, 8), torch.randn(2, first.in_channels - 64, 8, 8)]
    return torch.randn(2, first.in_channels, 8, 8)


def test_a_plain_chain_takes_attention_after_each_activation():
    model, plain = make("vgg11_bn+eca@s3b2.mid"), make("vgg11_bn")
    x = torch.randn(1, 256, 8, 8)
    ((_, attention),) = attentions(model).items()
    output = model.features[11:14](x)
    assert torch.equal(output, attention(plain.features[11:14](x)))


def test_the_end_of_a_dense_stage_is_its_concatenation():
    model = make("densenet121+eca@s1.stage")
    maps = {}
    model.features.denseblock1.register_forward_hook(lambda _m, _a, y: maps.update(block=y))
    model.features.transition1.conv.register_forward_pre_hook(lambda _m, a: maps.update(conv=a[0]))
    model(torch.randn(1, 3, SIZE, SIZE))
    ((_, attention),) = attentions(model).items()
    norm = make("densenet121").features.transition1.norm
    assert torch.equal(maps["conv"], norm(attention(maps["block"])))


def test_pre_and_identity_of_one_block_both_see_its_input():
    block = roughened(make("resnet18+eca@s2b2.pre+ca@s2b2.identity")).layer2[1]
    plain = roughened(make("resnet18")).layer2[1]
    x = torch.randn(2, 128, 8, 8)
    pre, shortcut = block.conv1.attention_in, block.attention_shortcut.attention
    expected = basic_block(plain, x, identity, identity, pre, shortcut, identity)
    assert torch.equal(block(x), expected)


# --- what must not change -------------------------------------------------------------------------

FAMILIES = ["test_resnet", "mobilenetv3_small_050", "test_convnext", "regnety_002", "densenet121"]


@pytest.mark.parametrize(
    "backbone",
    [
        family if family.startswith("test_") else pytest.param(family, marks=pytest.mark.slow)
        for family in FAMILIES
    ],
)
@pytest.mark.parametrize("name", ATTENTIONS)
def test_an_identity_start_leaves_the_output_as_it_was(backbone, name):
    plain, x = make(backbone), torch.randn(3, 3, SIZE, SIZE)
    sites = find_sites(backbone, image_size=SIZE)
    text = backbone
    for position in ATTENTIONS[name].positions or sites.positions:
        r = ",r=4" if ATTENTIONS[name].has_ratio else ""
        text += f"+{name}(start=identity{r})@all.{position}"
    model = make(text)
    with torch.no_grad():
        assert torch.equal(model(x), plain(x))
        torch.manual_seed(1)
        expected = plain.train()(x)
        torch.manual_seed(1)
        assert torch.equal(model.train()(x), expected)


@pytest.mark.parametrize("backbone", FAMILIES)
def test_training_reaches_every_inserted_parameter_at_every_position(backbone):
    for position in find_sites(backbone, image_size=SIZE).positions:
        model = make(f"{backbone}+se(r=4)@all.{position}").train()
        model(torch.randn(4, 3, SIZE, SIZE)).square().sum().backward()
        for module in attentions(model).values():
            assert all(p.grad is not None for p in module.parameters()), position


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("backbone", ["test_resnet", "efficientnet_b0", "densenet121"])
def test_the_keys_of_the_backbone_stay_and_its_weights_are_shared_under_one_seed(
    backbone, position
):
    sites = find_sites(backbone, image_size=SIZE)
    if position not in sites.positions:
        pytest.skip(f"{backbone} has no {position}")
    plain, model = make(backbone), make(f"{backbone}+cbam(r=4)@all.{position}")
    state = model.state_dict()
    for key, value in plain.state_dict().items():
        assert torch.equal(state.pop(key), value), key
    assert all("attention" in key for key in state)
    chosen = sites.select_sites(parse(f"x+cbam(r=4)@all.{position}").insertions[0])
    formula = ATTENTIONS["cbam"].parameters
    added = sum(formula(s.channels, {"r": 4, "k": 7, "bias": False}, (8, 8)) for s in chosen)
    assert count(model) - count(plain) == added


def test_an_attention_starts_the_same_whatever_else_is_inserted():
    alone = make("test_resnet+se(r=4)@s3.residual+se(r=4)@s4.mid")
    among = make("test_resnet+ca(r=2)@all.mid+se(r=4)@s3.residual+se(r=4)@s4.mid+eca@all.post")
    state = among.state_dict()
    for key, value in alone.state_dict().items():
        assert torch.equal(state[key], value), key
    other_seed = make("test_resnet+se(r=4)@s3.residual", seed=4).state_dict()
    key = "layer3.0.bn3.attention.se.fc1.weight"
    assert not torch.equal(other_seed[key], state[key])


def test_two_blocks_get_different_weights_from_one_insertion():
    state = make("resnet18+se@s4.residual").state_dict()
    assert not torch.equal(
        state["layer4.0.bn2.attention.se.fc1.weight"], state["layer4.1.bn2.attention.se.fc1.weight"]
    )


def test_building_with_a_seed_leaves_the_callers_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make("test_resnet+se(r=4)@all.residual")
    assert torch.equal(torch.rand(3), expected)


def test_without_a_seed_the_callers_generator_decides():
    torch.manual_seed(5)
    first = make("test_resnet+se(r=4)@s1.residual", seed=None).state_dict()
    torch.manual_seed(5)
    second = make("test_resnet+se(r=4)@s1.residual", seed=None).state_dict()
    third = make("test_resnet+se(r=4)@s1.residual", seed=None).state_dict()
    for key in ("conv1.0.weight", "layer1.0.bn2.attention.se.fc1.weight"):
        assert torch.equal(first[key], second[key])
        assert not torch.equal(first[key], third[key])


def test_attentions_at_one_point_apply_in_the_order_of_the_text():
    place = "s1b1.residual"
    model = roughened(make(f"resnet18+se@{place}+eca@{place}+se(r=4)@{place}"))
    attention = model.layer1[0].bn2.attention
    assert [name for name, _ in attention.named_children()] == ["se", "eca", "se_2"]
    x = torch.randn(1, 64, 8, 8)
    y = roughened(make("resnet18")).layer1[0].bn2(x)
    assert torch.equal(model.layer1[0].bn2(x), attention.se_2(attention.eca(attention.se(y))))


@pytest.mark.parametrize("backbone", ["resnet18", "test_mambaout"])
def test_insert_all_names_every_module_that_it_inserted(backbone):
    text = f"{backbone}+se(r=4)@all.residual+eca@all.pre+se(r=2)@all.residual+ca(r=4)@all.identity"
    model, architecture = make(backbone), parse(text)
    placed = placement.placements(architecture, find_sites(backbone, image_size=SIZE))
    inserted = insert_all(model, ModuleLocator(model, backbone), placed, seed=3)
    assert [attention.placement for attention in inserted.attentions] == placed
    for attention in inserted.attentions:
        entry = ATTENTIONS[attention.placement.insertion.attention]
        assert type(model.get_submodule(attention.module)) is entry.load()
    assert model.state_dict().keys() == make(text).state_dict().keys()
    inserted.remove()
    assert model.state_dict().keys() == make(backbone).state_dict().keys()


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("resnet81+se@all.residual", BackboneError, "no model 'resnet81'; did you mean 'resnet"),
        ("resnet18.a9+se@all.residual", BackboneError, "no pretrained weights 'a9' for resnet18"),
        ("resnet18+se(r=128)@all.residual", ArchitectureError, r"s1b1.residual .* use r ≤ 64"),
        ("resnet18+se@s5.residual", ArchitectureError, "has no s5; its stages are s1 to s4"),
        ("resnet18+se@s1b3.residual", ArchitectureError, "its s1 has blocks b1 to b2"),
        ("vgg11_bn+se@all.identity", ArchitectureError, "no identity at all"),
        ("vit_tiny_patch16_224+se@all.post", BackboneError, "works on tokens, not on maps"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_reason(text, error, message):
    with pytest.raises(error, match=message):
        create_model(text)


def test_an_attention_that_breaks_its_formula_is_named(monkeypatch):
    monkeypatch.setattr(placement.Placement, "parameters", property(lambda _: 1))
    with pytest.raises(AttentuneError, match=r"eca at s1b1.residual \(layer1.0.bn2\) has 3"):
        make("resnet18+eca@s1b1.residual")


def test_create_model_takes_timms_own_arguments():
    model = create_model("resnet18+se@all.residual", num_classes=7, in_chans=1, output_stride=16)
    assert model.eval()(torch.randn(1, 1, 64, 64)).shape == (1, 7)
    assert model.layer4[0].conv1.stride == (1, 1)


def test_the_number_of_classes_is_timms_unless_it_is_given():
    assert create_model("test_resnet+eca@all.residual").num_classes == 1000
    few = create_model("test_resnet+eca@all.residual", num_classes=7)
    assert few.get_classifier().out_features == 7
    assert (
        build_network(
            parse("resnetv2_50x1_bit.goog_in21k+eca@s1.post"),
            num_classes=None,
            image_size=64,
            seed=0,
        ).num_classes
        == 21_843
    )


def test_a_ratio_above_the_channels_is_accepted_where_the_paper_sets_a_least_width():
    model = make("mobilenetv2_050+ca(r=32)@all.residual")
    widths = {module.conv1.out_channels for module in attentions(model).values()}
    assert widths == {8}
    with pytest.raises(ArchitectureError, match=r"se\(r=32\) needs at least 32 channels"):
        make("mobilenetv2_050+se(r=32)@all.residual")


# --- the backbone's own attention -----------------------------------------------------------------

REMOVALS = {
    "efficientnet_b0": "s2-s3,s5b2",
    "mobilenetv3_small_050": "s4",
    "seresnet18": "s1,s3b1",
    "regnety_002": "s3",
    "ecaresnet26t": "s2-s3",
}


@pytest.mark.parametrize(("backbone", "places"), REMOVALS.items())
def test_removing_own_attention_leaves_the_network_with_the_identity_there(backbone, places):
    text = f"{backbone}(attention=none@{places})"
    removed = find_sites(backbone, image_size=SIZE).own_attention_at(parse(text).removed)
    full, part = roughened(make(backbone)), make(text)
    expected = {
        key: value
        for key, value in full.state_dict().items()
        if not any(key.startswith(f"{own.module}.") for own in removed)
    }
    assert list(part.state_dict()) == list(expected)
    part.load_state_dict(full.state_dict(), strict=False)
    assert count(full) - count(part) == sum(own.parameters for own in removed) > 0
    for own in removed:
        full.set_submodule(own.module, nn.Identity())
    x = torch.randn(2, 3, SIZE, SIZE)
    assert torch.equal(part(x), full(x))


def test_attention_takes_the_place_of_own_attention_that_is_removed():
    model = make("seresnet18(attention=none@s2)+eca@s2.residual")
    assert isinstance(model.layer2[0].se, nn.Identity)
    assert list(attentions(model)) == [f"layer2.{block}.bn2.attention.eca" for block in (0, 1)]
    assert hasattr(model.layer1[0].se, "fc1")


def test_a_feature_extractor_is_without_the_removed_attention_too():
    full, part = (
        create_model(text, features_only=True)
        for text in ("mobilenetv3_small_050", "mobilenetv3_small_050(attention=none@s4)")
    )
    removed = find_sites("mobilenetv3_small_050").own_attention_at(
        parse("x(attention=none@s4)").removed
    )
    assert count(full) - count(part) == sum(own.parameters for own in removed)


def test_a_wrong_number_of_removed_parameters_is_refused():
    site_map = find_sites("seresnet18", image_size=SIZE)
    (own,) = site_map.own_attention_at(parse("x(attention=none@s2b1)").removed)
    wrong = replace(own, parameters=own.parameters + 1)
    model = make("seresnet18")
    with pytest.raises(AttentuneError, match="changed the rest of it"):
        remove_own(model, ModuleLocator(model, "seresnet18"), [wrong])
