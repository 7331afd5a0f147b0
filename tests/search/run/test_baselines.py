"""The baselines that every study runs first."""

from __future__ import annotations

from attentune.search.run.baselines import study_baselines
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space


def baselines(backbone, **space):
    fields = {"attentions": ("none", "se"), "ratios": (4,), "granularity": "stage", **space}
    bound = bind_space(Space.of(**fields), find_sites(backbone, image_size=64))
    return [str(architecture) for architecture in study_baselines(backbone, bound)]


def test_they_have_the_start_and_the_first_position_of_the_space():
    assert baselines("test_resnet", start="paper", positions=("post", "residual")) == [
        "test_resnet",
        "test_resnet+se(r=16)@all.post",
        "test_resnet+eca@all.post",
        "test_resnet+cbam(r=16)@all.post",
        "test_resnet+ca(r=32)@all.post",
    ]


def test_where_the_backbones_own_attention_is_removed_there_are_two_bare_ones():
    texts = baselines("mobilenetv3_small_050", own_attention="remove", positions=("mid",))
    assert texts[:2] == ["mobilenetv3_small_050", "mobilenetv3_small_050(attention=none)"]
    assert all(text.startswith("mobilenetv3_small_050(attention=none)+") for text in texts[2:])


def test_where_own_attention_is_searched_the_textbook_attentions_are_added_to_the_backbone():
    texts = baselines("mobilenetv3_small_050", own_attention="search", positions=("mid",))
    assert texts[:2] == ["mobilenetv3_small_050", "mobilenetv3_small_050(attention=none)"]
    assert texts[2:]
    assert not any("none" in text for text in texts[2:])
    alone = baselines("mobilenetv3_small_050", own_attention="search", attentions=("none",))
    assert alone == texts[:2]


def test_a_ratio_above_the_number_of_channels_is_no_baseline():
    texts = baselines("mobilenetv3_small_050", positions=("mid",))
    assert not any("ca(r=32" in text for text in texts)
    assert any("+se(r=16" in text for text in texts)
