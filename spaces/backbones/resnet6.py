"""Two small backbones for the embedded data, which `import_timm` registers with timm.

They are timm's ResNet with one basic block per stage, for images of 36 pixels. The stem is a 3×3
convolution of stride 2 without pooling, so the maps have sides of 18, 9, 5 and 3. `resnet6` has 16,
32, 64 and 128 channels and 0.31 M parameters, `resnet6_050` half of the channels and 0.08 M. They
are small enough for attention to matter on the embedded data, where timm's own test networks learn
about as much without. There are no pretrained weights.
"""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

SETTINGS = {"input_size": (3, 36, 36), "first_conv": "conv1", "classifier": "fc"}
default_cfgs = generate_default_cfgs({"resnet6": SETTINGS, "resnet6_050": SETTINGS})
"""`register_model` reads this name."""
ABOUT_WEIGHTS = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


def _resnet6(channels: tuple[int, int, int, int], options: dict[str, Any]) -> ResNet:
    if options.pop("pretrained", False):
        raise RuntimeError("no pretrained weights exist for resnet6 and resnet6_050")
    for name in ABOUT_WEIGHTS:
        options.pop(name, None)
    stem = channels[0]
    widths = {"channels": channels, "stem_type": "deep", "stem_width": stem // 2}
    model = ResNet(BasicBlock, (1, 1, 1, 1), **widths, **options)
    model.conv1 = nn.Conv2d(options.get("in_chans", 3), stem, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    model.default_cfg = model.pretrained_cfg = dict(SETTINGS)
    return model


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def resnet6(**options: Any) -> ResNet:
    """16, 32, 64 and 128 channels."""
    return _resnet6((16, 32, 64, 128), options)


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def resnet6_050(**options: Any) -> ResNet:
    """`resnet6` with half of the channels."""
    return _resnet6((8, 16, 32, 64), options)
