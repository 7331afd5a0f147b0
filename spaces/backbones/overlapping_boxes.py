"""Non-maximum suppression without compiled code, for machines where torchvision's does not load."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def suppress_overlapping_boxes(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Like `torchvision.ops.nms`: the boxes that no better box overlaps too much.

    Args:
        boxes: (N, 4) left, top, right and bottom.
        scores: (N,); greater is better.
        iou_threshold: of two boxes whose intersection over union is above it, the better remains.

    Returns:
        Indices of the boxes that remain, the best first.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    candidates = scores.argsort(descending=True, stable=True)
    kept = []
    while len(candidates):
        best, candidates = candidates[0], candidates[1:]
        kept.append(best)
        corner = boxes[candidates, :2].maximum(boxes[best, :2])
        sides = (boxes[candidates, 2:].minimum(boxes[best, 2:]) - corner).clamp(min=0)
        intersection = sides.prod(1)
        iou = intersection / (areas[candidates] + areas[best] - intersection)
        candidates = candidates[~(iou > iou_threshold)]
    return scores.new_tensor([int(index) for index in kept]).long()
