"""Two texts have one canonical form if and only if they build one network."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import ArchitectureError
from attentune.spaces.architecture import Architecture, Insertion, Place, merge_places, parse
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.networks.build import build_network
from attentune.spaces.networks.canonical import canonicalise, resolve_architecture
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

# --- by example -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # already as short as can be
        ("resnet18", "resnet18"),
        ("resnet18+se@all.residual", "resnet18+se(r=16)@all.residual"),
        ("resnet50+cbam(r=16)@s3.residual", "resnet50+cbam(r=16)@s3.residual"),
        ("mobilenetv2_100+ca(r=32)@all.mid", "mobilenetv2_100+ca(r=32)@all.mid"),
        # places
        ("resnet18+eca@s1.mid+eca@s2-s4.mid", "resnet18+eca@all.mid"),
        ("resnet18+eca@s4b2,s4b1.mid", "resnet18+eca@s4.mid"),
        ("resnet18+eca@s3.mid+eca@s1b1.mid", "resnet18+eca@s1b1,s3.mid"),
        # positions that are the same point
        ("resnet18+eca@s3b2.post", "resnet18+eca@s3.stage"),
        ("test_resnet+eca@all.stage", "test_resnet+eca@all.post"),
        ("mobilenetv2_100+eca@s2b1.post", "mobilenetv2_100+eca@s2b1.residual"),
        ("vgg11_bn+eca@all.post", "vgg11_bn+eca@all.mid"),
        # options that come to the same
        ("resnet18+eca(k=3)@s1.mid+eca(k=5)@s2-s4.mid", "resnet18+eca@all.mid"),
        ("resnet18+eca(k=5)@s3.mid", "resnet18+eca@s3.mid"),
        ("resnet18+eca(k=5)@all.mid", "resnet18+eca(k=5)@all.mid"),
        ("resnet18+se(r=64)@s1.mid", "resnet18+se(r=64)@s1.mid"),
        ("resnet18+se(r=33)@s1.mid", "resnet18+se(r=64)@s1.mid"),
        ("resnet18+ca(r=32)@s1.mid", "resnet18+ca(r=8)@s1.mid"),
        ("resnet18+nl(start=identity)@s3.stage", "resnet18+nl(r=2)@s3.stage"),
        ("resnet18+se(r=16)@s1.mid+se(r=15)@s2.mid", "resnet18+se(r=16)@s1-s2.mid"),
        # the backbone's own attention
        ("resnet18(attention=none)+eca@all.mid", "resnet18+eca@all.mid"),
        ("seresnet18(attention=none)", "seresnet18(attention=none)"),
        ("seresnet18(attention=none@s1-s4)", "seresnet18(attention=none)"),
        ("seresnet18(attention=none@s4,s1b2,s1b1)", "seresnet18(attention=none@s1,s4)"),
        ("seresnet18(attention=none@s1b2,s3)", "seresnet18(attention=none@s1b2,s3)"),
        ("test_efficientnet(attention=none@s1-s4)", "test_efficientnet(attention=none@s4)"),
        ("test_efficientnet(attention=none@s4-s5)", "test_efficientnet(attention=none)"),
        (
            "mobilenetv3_small_050(attention=none@s1,s3)",
            "mobilenetv3_small_050(attention=none@s1-s3)",
        ),
        (  # Where the SE goes that ends the block, its output becomes that of the convolution.
            "test_byobnet(attention=none@s3)+eca@s3.residual",
            "test_byobnet(attention=none@s3)+eca@s3.residual",
        ),
        # sequences
        ("resnet18+se@s1.mid+eca@s1.mid", "resnet18+se(r=16)@s1.mid+eca@s1.mid"),
        ("resnet18+eca@s2.mid+se@s1.mid", "resnet18+se(r=16)@s1.mid+eca@s2.mid"),
        (
            "resnet18+se@s1.mid+eca@all.mid",
            "resnet18+se(r=16)@s1.mid+eca@s2-s4.mid+eca@s1.mid",
        ),
    ],
)
def test_the_canonical_text(text, expected):
    canonical, sites = resolve_architecture(text)
    assert str(canonical) == expected
    assert canonicalise(parse(str(canonical)), sites) == canonical


def test_the_order_of_two_attentions_at_one_point_is_part_of_the_network():
    first, _ = resolve_architecture("resnet18+se@s1.mid+eca@s1.mid")
    second, _ = resolve_architecture("resnet18+eca@s1.mid+se@s1.mid")
    assert first.key != second.key


def test_a_place_that_does_not_exist_is_refused():
    with pytest.raises(ArchitectureError, match="has no s9"):
        resolve_architecture("resnet18+se@s9.mid")


# --- by property, with the built networks as the judge --------------------------------------------

BACKBONES = ("test_resnet", "test_efficientnet", "mobilenetv3_small_050")
SIZE = 32


@st.composite
def architectures(draw: st.DrawFn, backbone: str) -> Architecture:
    """Few places and options, so that collisions are common."""
    sites = find_sites(backbone, image_size=SIZE)
    insertions = []
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(("se", "eca", "ca", "nl")))
        entry = ATTENTIONS[name]
        options = {}
        if entry.has_ratio:
            options["r"] = draw(st.sampled_from((1, 2, 3, 4, 5, 6, 7, 8)))
        if name == "eca":
            options["k"] = draw(st.sampled_from(("auto", 3, 5)))
        if draw(st.booleans()):
            options["start"] = "identity"
        position = draw(st.sampled_from(sites.positions))
        places = draw(st.lists(st.sampled_from(_places(backbone)), min_size=1, max_size=3))
        places = [place for place in places if sites.sites_at(place, position)]
        assume(places)
        insertions.append(Insertion.of(name, position, places, **options))
    removed = draw(st.lists(st.sampled_from(_places(backbone)), max_size=2))
    own = [(own.stage, own.block) for own in sites.own_attention]
    removed = [p for p in removed if p == Place() or any(p.covers(*where) for where in own)]
    return Architecture(backbone, tuple(insertions), merge_places(removed))


def _places(backbone: str) -> list[Place]:
    stages = find_sites(backbone, image_size=SIZE).blocks
    blocks = [
        Place(stage, stage, block) for stage, n in stages.items() for block in range(1, n + 1)
    ]
    ranges = [Place(first, last) for first in stages for last in stages if first <= last]
    return [Place(), *ranges, *blocks]


def _read(architecture: Architecture) -> Architecture:
    try:
        canonical, sites = resolve_architecture(architecture, image_size=SIZE)
    except ArchitectureError:  # r larger than the channels of some site
        assume(False)
    assert canonicalise(canonical, sites) == canonical
    assert parse(str(canonical)) == canonical
    return canonical


def _network(architecture: Architecture) -> dict[str, object]:
    """What was really built: every module's text, and every weight."""
    model = build_network(architecture, num_classes=2, image_size=SIZE, seed=0)
    modules = {path: repr(module) for path, module in model.named_modules()}
    return {**modules, **model.state_dict()}


def _equal(first: dict[str, object], second: dict[str, object]) -> bool:
    if first.keys() != second.keys():
        return False
    return all(
        torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key]
        for key, value in first.items()
    )


@pytest.mark.parametrize("backbone", BACKBONES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_one_canonical_form_if_and_only_if_one_network(backbone, data):
    first = data.draw(architectures(backbone))
    second = data.draw(architectures(backbone) | _respelled(first))
    same_text = _read(first) == _read(second)
    assert same_text == _equal(_network(first), _network(second))


@st.composite
def _respelled(draw: st.DrawFn, architecture: Architecture) -> Architecture:
    """The same changes in second words: split at their sites, under any alias, in any order that
    leaves the sequence at every point."""
    sites = find_sites(architecture.backbone, image_size=SIZE)
    sites = sites.without_own_attention(architecture.removed)
    insertions = []
    for insertion in architecture.insertions:
        chosen = draw(st.permutations(sites.select_sites(insertion)))
        for site in chosen:
            aliases = [alias for alias in sites.sites if alias.anchor == site.anchor]
            alias = draw(st.sampled_from(aliases))
            place = Place(alias.stage, alias.stage, alias.block)
            options = dict(insertion.settings)
            insertions.append(Insertion.of(insertion.attention, alias.position, [place], **options))
    own = sites.own_attention_at(architecture.removed)
    removed = [Place(one.stage, one.stage, one.block) for one in draw(st.permutations(own))]
    return Architecture(architecture.backbone, tuple(insertions), merge_places(removed))


@pytest.mark.parametrize("backbone", BACKBONES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_other_words_for_one_network_have_one_key(backbone, data):
    first = data.draw(architectures(backbone))
    second = data.draw(_respelled(first))
    assert _read(first).key == _read(second).key
