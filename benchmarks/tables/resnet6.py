"""The backbone of the tables: timm's ResNet with a basic block a stage, for pictures of 36 pixels.

Channels 16, 32, 64, 128, a 3×3 stem of stride 2 and no pooling, hence maps of 18, 9, 5 and 3, and
0.31 M parameters. It is small enough for attention to matter on the embedded tasks, where timm's
own test networks learn about as much without. To use it, register it:

    PYTHONPATH=benchmarks/tables ATTENTUNE_PLUGINS=resnet6 attentune sites resnet6
"""

from __future__ import annotations

from typing import Any

from attentune.spaces.timm_compat import import_timm
from torch import nn

import_timm()

from timm.models import register_model  # noqa: E402
from timm.models.resnet import BasicBlock, ResNet  # noqa: E402

STEM = 16
ABOUT_WEIGHTS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def resnet6(**options: Any) -> ResNet:
    """As timm calls it; there are no pretrained weights."""
    for name in ABOUT_WEIGHTS:
        options.pop(name, None)
    widths = {"channels": (16, 32, 64, 128), "stem_type": "deep", "stem_width": STEM // 2}
    model = ResNet(BasicBlock, (1, 1, 1, 1), **widths, **options)
    model.conv1 = nn.Conv2d(options.get("in_chans", 3), STEM, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    model.default_cfg = model.pretrained_cfg = {
        "input_size": (3, 36, 36),
        "first_conv": "conv1",
        "classifier": "fc",
    }
    return model
