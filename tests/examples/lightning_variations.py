"""Lightning's Trainer with settings that people use, on the network of the example."""

from __future__ import annotations

import torch
from attentune.spaces.networks.attended_module import AttendedModule
from digit_images import digits
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    StochasticWeightAveraging,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from lightning_trainer import Classifier, ReportEpochs
from torch.utils.data import DataLoader


class ReportEpochsOfTrial(ReportEpochs):
    """Leaves out epochs beyond those of the trial: averaging trains one more for the norms."""

    def on_train_epoch_end(self, trainer, module):
        if trainer.current_epoch < self.trial.epochs:
            super().on_train_epoch_end(trainer, module)


def train(trial, callbacks=(), loader_processes=0, convert=None, **settings):
    """Train the network of the trial with other settings; returns what was measured."""
    quiet = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(
        max_epochs=trial.epochs,
        accelerator="cpu",
        devices=1,
        default_root_dir=trial.folder,
        callbacks=[ReportEpochsOfTrial(trial), *callbacks],
        **{**quiet, **settings},
    )
    loader = DataLoader(digits("train"), 32, shuffle=True, num_workers=loader_processes)
    held_out = DataLoader(digits(trial.split), 256)
    module = Classifier(trial.model())
    if convert is not None:
        module = convert(module)
    trainer.fit(module, loader, held_out)
    return trainer.callback_metrics["accuracy"]


def mixed_precision_and_accumulated_gradients(trial):
    return train(trial, precision="bf16-mixed", accumulate_grad_batches=2)


def averaged_weights(trial):
    return train(trial, [EMAWeightAveraging(decay=0.9)])


def stochastic_weight_averaging(trial):
    return train(trial, [StochasticWeightAveraging(1e-3, swa_epoch_start=1)])


def synchronised_norms(trial):
    """What `Trainer(sync_batchnorm=True)` does to a network when it trains on several GPUs."""

    def convert(module):
        module = TorchSyncBatchNorm().apply(module)
        attended = [part for part in module.modules() if isinstance(part, AttendedModule)]
        assert {type(part.wrapped) for part in attended} == {torch.nn.SyncBatchNorm}
        return module

    return train(trial, convert=convert)


def loader_processes(trial):
    return train(trial, loader_processes=1)


def progress_bar_and_logger(trial):
    logger = CSVLogger(trial.folder)
    return train(trial, [TQDMProgressBar()], enable_progress_bar=True, logger=logger)


def early_stopping(trial):
    return train(trial, [EarlyStopping("accuracy", mode="max", stopping_threshold=0.0)])


def seeded(trial):
    seed_everything(trial.seed, workers=True)
    return train(trial, deterministic=True)
