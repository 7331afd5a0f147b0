"""What ranks exchange through their pipes: evaluations and decisions, as if there were one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from attentune.runners.training.data_parallel import SINGLE_DEVICE, own_part
from attentune.runners.training.distributed_rank import DistributedRank
from attentune.runners.training.evaluation import evaluate
from distributed_ranks import CPU, linked_ranks


def on_ranks(count, function):
    """What a function returns on each rank; threads suffice where no gradients are exchanged."""
    ranks = [DistributedRank(i, count, CPU, links) for i, links in enumerate(linked_ranks(count))]
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(function, ranks))


@pytest.mark.parametrize("images_per_batch", [500, 7])
def test_an_evaluation_on_three_ranks_is_that_of_one_process(
    digits, tiny_recipe, network, images_per_batch
):
    """With 51 images there are 1 or 8 batches: also fewer than ranks."""
    networks = [network() for _ in range(4)]
    settings = {"images_per_batch": images_per_batch, "keep": "all"}
    alone = evaluate(networks[3], digits, tiny_recipe, **settings)

    def evaluate_share(rank):
        return evaluate(networks[rank.rank], digits, tiny_recipe, parallel=rank, **settings)

    for evaluation in on_ranks(3, evaluate_share):
        assert evaluation.metrics == alone.metrics
        assert evaluation.loss == alone.loss
        for name in ("labels", "predicted", "log_probabilities"):
            kept, expected = (getattr(e.predictions, name) for e in (evaluation, alone))
            assert np.array_equal(kept, expected)
        assert evaluation.predictions.num_classes == alone.predictions.num_classes


@pytest.mark.parametrize("count", [0, 1, 5, 9])
def test_items_are_divided_in_order_and_gathered_in_order(count):
    def gather(rank):
        return rank.gather([(item, torch.tensor(item)) for item in own_part(range(count), rank)])

    for gathered in on_ranks(4, gather):
        assert gathered == [(item, torch.tensor(item)) for item in range(count)]
    assert list(own_part(range(count), SINGLE_DEVICE)) == list(range(count))


def test_a_decision_is_made_by_the_first_rank_alone():
    deciding = []

    def decide(rank):
        return rank.call_on_first(lambda: deciding.append(rank.rank) or "pause")

    assert on_ranks(3, decide) == ["pause"] * 3
    assert deciding == [0]
