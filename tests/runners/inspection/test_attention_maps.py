"""Attention maps as JSON: small, complete, and refused in another format."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from attentune.runners.inspection.attention_maps import AttentionMap, AttentionMaps, StageEnergy


@pytest.fixture
def maps() -> AttentionMaps:
    """Two attentions, one of which shuffles its channels, and inputs that were zero."""
    rng = np.random.default_rng(0)
    channels = rng.random(48, np.float32)
    channels[3] = np.nan
    locations = rng.random((3, 4, 5), np.float32)
    return AttentionMaps(
        architecture="test_resnet+se(r=4)@s2.mid+shuffle@s1.post",
        epochs=3,
        classes=("cat", "dog"),
        images=rng.integers(0, 256, (3, 8, 8, 3), np.uint8),
        indices=np.array([7, 2, 9]),
        labels=np.array([0, 1, 0]),
        predicted=np.array([0, 0, 1]),
        probabilities=np.array([0.912345, 0.6, 0.75], np.float32),
        attentions=(
            AttentionMap("s1b1.post", 1, "shuffle", np.empty(0, np.float32), 1e4 * locations),
            AttentionMap("s2b1.mid", 2, "se", channels, np.full((3, 4, 5), np.nan, np.float32)),
        ),
        stages=(StageEnergy(1, locations), StageEnergy(2, 1e-4 * locations)),
        left_out=("shuffle at s1b1.post returns its channels in another order.",),
    )


def test_json_keeps_four_digits_and_comes_back(maps):
    text = json.dumps(maps.to_json(), allow_nan=False)
    back = AttentionMaps.from_json(json.loads(text))
    assert json.dumps(back.to_json()) == text
    for name in ("architecture", "epochs", "classes", "left_out"):
        assert getattr(back, name) == getattr(maps, name)
    for name in ("images", "indices", "labels", "predicted"):
        np.testing.assert_array_equal(getattr(back, name), getattr(maps, name))
        assert getattr(back, name).dtype == getattr(maps, name).dtype
    np.testing.assert_allclose(back.probabilities, maps.probabilities, rtol=5e-4)
    for before, after in zip(maps.attentions, back.attentions, strict=True):
        assert (after.site, after.stage, after.attention) == (
            before.site,
            before.stage,
            before.attention,
        )
        np.testing.assert_allclose(after.locations, before.locations, rtol=5e-4)
        np.testing.assert_allclose(after.channels, before.channels, rtol=5e-4)
    for before, after in zip(maps.stages, back.stages, strict=True):
        assert after.stage == before.stage
        np.testing.assert_allclose(after.locations, before.locations, rtol=5e-4)


@pytest.mark.parametrize("version", [1, 0, None])
def test_another_format_is_refused(maps, version):
    with pytest.raises(ValueError, match="another format"):
        AttentionMaps.from_json({**maps.to_json(), "format": version})


@pytest.mark.parametrize("name", ["format", "images", "attentions"])
def test_what_is_incomplete_is_refused(maps, name):
    fields = maps.to_json()
    del fields[name]
    with pytest.raises(KeyError):
        AttentionMaps.from_json(fields)


def test_the_values_need_no_torch():
    code = (
        "import attentune.runners.inspection.attention_maps, sys\n"
        "assert not {'torch', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
