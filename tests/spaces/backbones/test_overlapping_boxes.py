"""Non-maximum suppression by plain operators."""

from __future__ import annotations

import torch
from attentune.spaces.backbones.overlapping_boxes import suppress_overlapping_boxes


def test_a_box_remains_unless_a_better_one_overlaps_it_too_much():
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5], [20, 20, 30, 30], [0, 0, 0, 0]]
    )
    scores = torch.tensor([0.5, 0.9, 0.7, 0.6, 0.1])
    # The first is overlapped by 0.9, the third by 5/9 = 0.56.
    assert suppress_overlapping_boxes(boxes, scores, 0.6).tolist() == [1, 2, 3, 4]
    assert suppress_overlapping_boxes(boxes, scores, 0.5).tolist() == [1, 3, 4]
    assert suppress_overlapping_boxes(boxes, scores, 0.95).tolist() == [1, 2, 3, 0, 4]


def test_no_boxes_leave_none():
    kept = suppress_overlapping_boxes(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.tolist() == []
    assert kept.dtype == torch.int64


def test_boxes_without_area_do_not_remove_each_other():
    boxes = torch.zeros(2, 4)
    assert suppress_overlapping_boxes(boxes, torch.tensor([0.1, 0.2]), 0.5).tolist() == [1, 0]
