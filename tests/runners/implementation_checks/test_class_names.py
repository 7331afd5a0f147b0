"""The name of a class says which attention it is, or the list of all is shown."""

from __future__ import annotations

import pytest
from attentune.errors import UsageError
from attentune.runners.implementation_checks.class_names import guess_attention
from attentune.spaces.attentions.catalogue import ATTENTIONS


@pytest.mark.parametrize(
    ("name", "attention"),
    [
        *(("MyCBAM", "cbam"), ("CBAMBlock", "cbam"), ("cbam", "cbam"), ("CbamModule", "cbam")),
        *(("SELayer", "se"), ("SEModule", "se"), ("SE_Block", "se"), ("SqueezeExcite", "se")),
        *(("eca_layer", "eca"), ("EcaModule", "eca"), ("ECABlock", "eca")),
        *(("CoordAtt", "ca"), ("CoordAttn", "ca"), ("CA", "ca"), ("CoordinateAttention", "ca")),
        *(("NonLocalBlock", "nl"), ("NonLocal2d", "nl"), ("GlobalContext", "gc")),
        *(("EffectiveSEModule", "ese"), ("scSE", "scse"), ("SCSEModule", "scse")),
        *(("SimAM", "simam"), ("simam_module", "simam"), ("TripletAttention", "triplet")),
        *(("ChannelAttention", "channel"), ("SpatialAttention", "spatial"), ("EMA", "ema")),
        *(("SKConv", "sk"), ("BAM", "bam"), ("GCT", "gct"), ("sa_layer", "shuffle")),
        *((entry.module.partition(":")[2], entry.name) for entry in ATTENTIONS.values()),
    ],
)
def test_an_attention_is_recognised(name, attention):
    assert guess_attention(name) == attention


@pytest.mark.parametrize("name", ["Mystery", "Attention", "MyModule", "SEAndCBAM"])
def test_a_name_that_says_none_is_asked_about(name):
    with pytest.raises(UsageError, match="say which it is with --as: a2, bam, ca, cbam"):
        guess_attention(name)
