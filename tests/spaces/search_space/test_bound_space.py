"""On a backbone, a space holds only different networks."""

from __future__ import annotations

import random

import pytest
from attentune.errors import SpaceError
from attentune.search.run.baselines import study_baselines
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space, load_space, preset_names
from attentune.studies.estimator.find_insertion_facts import facts_of_insertion

SMALL = [
    {"attentions": ("none", "se", "eca"), "ratios": (4, 8)},
    {"attentions": ("se", "ca"), "ratios": (2, 4, 8), "granularity": "network"},
    {"attentions": ("none", "cbam"), "ratios": (8,), "options": {"cbam": {"k": (3, 7)}}},
    {"attentions": ("se", "eca"), "ratios": (4, 32), "shared": ("attention",)},
    {"attentions": ("none", "nl"), "ratios": (2,), "positions": ("post", "stage", "mid")},
    {"attentions": ("eca",), "granularity": "block", "positions": ("residual", "post")},
]
OWN = [
    {"attentions": ("none",)},
    {"attentions": ("none",), "granularity": "network"},
    {"attentions": ("none", "eca"), "positions": ("mid",)},
    {"attentions": ("se", "eca"), "ratios": (4, 8), "shared": ("attention",)},
    {"attentions": ("none", "eca"), "granularity": "block", "stages": (4, 5)},
]


def bound(backbone="test_resnet", **fields):
    return bind_space(Space.of(**fields), find_sites(backbone, image_size=64))


@pytest.mark.parametrize("fields", SMALL)
def test_a_space_holds_as_many_different_architectures_as_its_size_says(fields):
    space = bound(**fields)
    keys = {space.architecture_at(index).key for index in range(space.count())}
    assert len(keys) == space.count()


@pytest.mark.parametrize("fields", SMALL)
def test_random_decisions_stay_inside_and_can_be_found_again(fields):
    space = bound(**fields)
    everything = {space.architecture_at(index) for index in range(space.count())}
    rng = random.Random(0)
    for _ in range(40):
        architecture = space.choose_architecture(lambda _, choices: rng.choice(choices))
        assert architecture in everything
        decisions = space.selection_of(architecture)
        assert decisions is not None
        assert space.architecture_of(decisions) == architecture


def test_what_a_space_does_not_hold_has_no_decisions():
    from attentune.spaces.architecture import parse

    space = bound(**SMALL[0])
    for text in ("test_resnet+cbam@all.residual", "test_resnet+se(r=16)@s1.residual"):
        assert space.selection_of(parse(text)) is None


def test_an_attention_without_a_ratio_asks_for_none():
    asked = []

    def pick(name, choices):
        asked.append(name)
        return "eca" if "eca" in choices else choices[0]

    bound(attentions=("none", "se", "eca"), ratios=(4, 8)).choose_architecture(pick)
    assert asked == ["s1.attention", "s2.attention", "s3.attention", "s4.attention"]


def test_ratios_that_repeat_a_width_or_exceed_the_channels_fall_away():
    space = bound(attentions=("ca", "se"), ratios=(4, 8, 16, 64))
    by_stage = {str(scope.place): scope.ratios for scope in space.scopes}
    assert by_stage["s1"] == {"ca": (4,), "se": (4, 8, 16)}  # 32 channels, ca's floor is 8
    assert by_stage["s3"] == {"ca": (4, 8, 16, 64), "se": (4, 8, 16, 64)}


def test_positions_that_are_one_point_are_one_choice():
    space = bound(attentions=("none", "se"), ratios=(4,), positions=("post", "stage"))
    assert [scope.positions for scope in space.scopes] == [("post",)] * 4
    assert space.count() == 2**4


def test_stages_that_are_not_named_stay_bare():
    space = bound(attentions=("none", "se", "eca"), ratios=(4,), stages=(1, 3))
    assert [str(scope.place) for scope in space.scopes] == ["s1", "s3"]
    assert space.count() == 3**2


def test_stages_that_the_backbone_lacks_are_refused_with_those_it_has():
    with pytest.raises(SpaceError, match="asks for stages 7; there are 1, 2, 3, 4"):
        bound(attentions=("none", "se"), stages=(7,))


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv2_100", "vgg11_bn", "densenet121"])
def test_every_preset_fits_every_family(name, backbone):
    space = bind_space(load_space(name), find_sites(backbone, image_size=64))
    assert space.count() > 100
    rng = random.Random(1)
    architecture = space.choose_architecture(lambda _, choices: rng.choice(choices))
    find_sites(backbone, image_size=64).check_architecture(architecture)


# --- the backbone's own attention -----------------------------------------------------------------


def own_space(backbone="test_efficientnet", policy="search", **fields):
    return bound(backbone, own_attention=policy, **fields)


@pytest.mark.parametrize("fields", OWN)
def test_a_search_of_own_attention_holds_different_networks_that_can_be_found_again(fields):
    space = own_space(**fields)
    architectures = [space.architecture_at(index) for index in range(space.count())]
    assert len(set(architectures)) == space.count()
    assert any(a.removed and not a.insertions for a in architectures) == (
        "none" in fields["attentions"] or "shared" in fields
    )
    for architecture in random.Random(0).sample(architectures, min(20, len(architectures))):
        assert space.architecture_of(space.selection_of(architecture)) == architecture


def test_it_asks_for_stages_that_have_own_attention_only():
    space = own_space(attentions=("none",))
    texts = {str(space.architecture_at(index)) for index in range(space.count())}
    removals = ("", "(attention=none@s4)", "(attention=none@s5)", "(attention=none)")
    assert texts == {f"test_efficientnet{removal}" for removal in removals}
    assert space.selection_at(0) == {"s4.own": "keep", "s5.own": "keep"}
    assert space.first_position is None


def test_a_choice_holds_what_a_scope_removes_and_inserts():
    space = own_space(attentions=("none", "eca"), stages=(3, 5))
    (columns,) = space.scope_choices()
    assert [[str(choice).removeprefix("test_efficientnet") for choice in c] for c in columns] == [
        ["", "+eca(start=identity)@s3.residual"],
        [
            "",
            "+eca(start=identity)@s5.residual",
            "(attention=none@s5)",
            "(attention=none@s5)+eca(start=identity)@s5.residual",
        ],
    ]


def test_where_all_own_attention_is_removed_every_architecture_is_without_it():
    space = own_space(policy="remove", attentions=("none", "eca"))
    assert str(space.plain) == "test_efficientnet(attention=none)"
    assert all(space.architecture_at(i).removed for i in range(space.count()))


@pytest.mark.parametrize(
    ("backbone", "fields", "words"),
    [
        ("test_resnet", {}, "test_resnet has no attention of its own that could be removed"),
        ("test_efficientnet", {"stages": (1,)}, r"itself has \(all\) by stage"),
        ("ese_vovnet19b_slim", {"granularity": "block"}, "choose another --granularity"),
    ],
)
def test_a_search_of_own_attention_that_is_not_there_is_refused(backbone, fields, words):
    with pytest.raises(SpaceError, match=words):
        own_space(backbone, attentions=("none", "eca"), **fields)


def test_modules_of_a_network_of_ones_own_are_places():
    sites = find_sites("own_training:make_segmenter", image_size=(8, 12))
    space = Space.of(attentions=("none", "eca", "se"), ratios=(2, 4), modules=("head", "down.1"))
    bound = bind_space(space, sites)
    architectures = [bound.architecture_at(index) for index in range(bound.count())]
    assert len({str(a) for a in architectures}) == bound.count() == 2 * 3 + 2 * 3
    for architecture in architectures:
        selection = bound.selection_of(architecture)
        assert selection is not None
        assert bound.architecture_of(selection) == architecture
        for insertion in architecture.insertions:
            assert facts_of_insertion(insertion, sites).shares
    # The module of a block goes by the name of the block, so that a network has one text.
    texts = {str(i) for a in architectures for i in a.insertions}
    assert "eca(start=identity)@{head}.post" in texts
    assert "eca(start=identity)@s2.post" in texts
    assert parse(str(architectures[-1])) == architectures[-1]
    for baseline in study_baselines("own_training:make_segmenter", bound):
        assert bound.selection_of(baseline) is not None


@pytest.mark.parametrize(
    ("modules", "backbone", "sentence"),
    [
        (("haed",), "own_training:make_segmenter", "did you mean 'head'"),
        (("layer1",), "test_resnet", "is one of timm"),
        (("a b",), "test_resnet", "'a b' is no path of a module"),
    ],
)
def test_modules_that_do_not_exist_are_named(modules, backbone, sentence):
    with pytest.raises(SpaceError, match=sentence):
        bind_space(Space.of(attentions=("eca",), modules=modules), find_sites(backbone))
