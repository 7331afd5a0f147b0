"""Lightning's Trainer as in the examples, and with what people use it for."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("lightning") is None, reason="needs lightning"),
]

VARIATIONS = "tests/examples/lightning_variations.py"


def test_lightning_trains_the_trials_of_a_study(search):
    search("lightning_trainer.py:train")


def test_an_interrupted_trainer_equals_an_uninterrupted_one(check_interruption):
    check_interruption("examples/lightning_trainer.py:train")


@pytest.mark.parametrize(
    "variation",
    [
        "mixed_precision_and_accumulated_gradients",
        "averaged_weights",
        "stochastic_weight_averaging",
        "synchronised_norms",
        "loader_processes",
        "progress_bar_and_logger",
        "early_stopping",
    ],
)
def test_attention_is_trained_by_a_trainer_with(play, variation):
    events = play(f"{VARIATIONS}:{variation}")
    assert 0 <= events[-1].result.accuracy <= 1


def test_a_seed_of_lightning_gives_the_same_result_twice(play):
    results = [play(f"{VARIATIONS}:seeded", folder)[-1].result for folder in ("a", "b")]
    assert results[0].accuracy == results[1].accuracy


def test_a_checkpoint_of_a_trial_loads_into_a_new_network(play, tmp_path):
    import torch
    from attentune import create_model

    play("examples/lightning_trainer.py:train")
    state = torch.load(tmp_path / "trial/files/last.ckpt", weights_only=False)["state_dict"]
    model = create_model(
        "test_resnet+se(r=4,start=identity)@s3-s4.residual", in_chans=1, num_classes=10
    )
    model.load_state_dict({key.removeprefix("model."): value for key, value in state.items()})
