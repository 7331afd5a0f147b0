"""The drawing of a backbone: what it says, and that it fits."""

from __future__ import annotations

from textwrap import dedent

import pytest
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.site_diagram import draw_sites


def test_a_small_resnet_in_full():
    expected = """\
        resnet18 on images of 32×32: 4 stages, 8 blocks

        block      C  H×W  pre     mid  residual  identity  post  stage
        s1 layer1
          b1-b2   64  8×8  ●       ●    ●         ●         ●     ●
        s2 layer2
          b1     128  4×4  ● 64↑   ●    ●         ●         ●
          b2     128  4×4  ●       ●    ●         ●         ●     ●
        s3 layer3
          b1     256  2×2  ● 128↑  ●    ●         ●         ●
          b2     256  2×2  ●       ●    ●         ●         ●     ●
        s4 layer4
          b1     512  1×1  ● 256↑  ○    ○         ○         ○
          b2     512  1×1  ○       ○    ○         ○         ○     ○

        ● a site for attention; a number gives its channels where they differ from C
        ↑ before the stride, where the map is larger
        ○ a 1×1 map, where spatial attention has no effect
        The stem shrinks the image at conv1, maxpool."""
    assert draw_sites(find_sites("resnet18", image_size=32)) == dedent(expected)


@pytest.mark.parametrize(
    ("backbone", "line"),
    [
        # the backbone's own attention
        (
            "efficientnet_b0",
            "  b1     320      7×7  ● 192   ● 1152  ●                   ●     ●      se",
        ),
        (
            "fastvit_t8",
            "own: the backbone's own attention, 1 module, 1 outside the blocks;",
        ),
        ("resnet18", "  b1     128  28×28  ● 64↑   ●    ●         ●         ●"),
        # stages without a module of their own
        ("vgg11_bn", "s3 features.8 to features.11"),
        ("convmixer_768_32", "s1 blocks"),
        # equal blocks share a line, even with others between them
        ("hrnet_w18_small", "  b3-b4    32  28×28  ●      ●      ●         ●         ●"),
        ("hrnet_w18", "  b5…b44 (×16)     36  28×28  ●      ●      ●         ●         ●"),
        ("densenet121", "  b1-b6   32  56×56  ● 64…224   ●    ●         ●     ● 256"),
    ],
)
def test_what_the_lines_say(backbone, line):
    assert line in draw_sites(find_sites(backbone)).splitlines()


@pytest.mark.parametrize(
    "backbone",
    [
        *("resnet50", "densenet121", "efficientnet_b0", "hrnet_w18_small", "test_maxvit"),
        *("swin_tiny_patch4_window7_224", "mobilenetv3_large_100", "ghostnet_050", "iformer_t"),
        *("fastvit_t8", "vgg11_bn", "regnety_002", "davit_tiny", "nasnetalarge", "volo_d1_224"),
    ],
)
def test_a_backbone_fits_eighty_columns_and_one_screen(backbone):
    lines = draw_sites(find_sites(backbone)).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    assert not any(line != line.rstrip() for line in lines)
