"""The backbone of the tables: timm's ResNet with a basic block a stage, for pictures of 36 pixels.

Channels 16, 32, 64, 128, a 3×3 stem of stride 2 and no pooling, hence maps of 18, 9, 5 and 3, and
0.31 M parameters. It is small enough for attention to matter on the embedded tasks, where timm's
own test networks learn about as much without. `resnet6_slim` has a quarter of the channels and
0.02 M parameters. To use them, register them:

    PYTHONPATH=benchmarks/tables ATTENTUNE_PLUGINS=resnet6 attentune sites resnet6
"""

from __future__ import annotations

from typing import Any

from attentune.spaces.timm_compat import import_timm
from torch import nn

import_timm()

from timm.models import register_model  # noqa: E402
from timm.models.resnet import BasicBlock, ResNet  # noqa: E402

ABOUT_WEIGHTS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def resnet6(**options: Any) -> ResNet:
    """As timm calls it; there are no pretrained weights."""
    return _resnet6(16, **options)


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def resnet6_slim(**options: Any) -> ResNet:
    """A quarter as wide. Its shortcuts pool before they convolve, as ResNet-D's do: torch 2.13
    corrupts the heap in a 1×1 convolution with stride 2 and fewer than eight channels, on a CPU."""
    return _resnet6(4, avg_down=True, **options)


def _resnet6(width: int, **options: Any) -> ResNet:
    for name in ABOUT_WEIGHTS:
        options.pop(name, None)
    channels = (width, 2 * width, 4 * width, 8 * width)
    stem = {"stem_type": "deep", "stem_width": width // 2}
    model = ResNet(BasicBlock, (1, 1, 1, 1), channels=channels, **stem, **options)
    model.conv1 = nn.Conv2d(options.get("in_chans", 3), width, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    model.default_cfg = model.pretrained_cfg = {
        "input_size": (3, 36, 36),
        "first_conv": "conv1",
        "classifier": "fc",
    }
    return model
