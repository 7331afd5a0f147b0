"""Lightning's Trainer trains the trials of a study.

Before, without attentune, with `Classifier` as it is below:

    trainer = lightning.Trainer(max_epochs=3, callbacks=[ModelCheckpoint(monitor="accuracy")])
    model = timm.create_model("test_resnet", in_chans=1, num_classes=10)
    trainer.fit(Classifier(model), training, held_out)

After: `train` and `ReportEpochs` below. To search:

    attentune search lightning --evaluate examples/lightning_trainer.py:train --metric accuracy \\
        --backbone test_resnet --in-chans 1 --image-size 32 --num-classes 10 --epochs 3 --trials 8
"""

from __future__ import annotations

import lightning
import torch
from digit_images import digits
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader


class Classifier(lightning.LightningModule):
    """A network with its loss, its metric and its optimizer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch, index):
        images, labels = batch
        loss = cross_entropy(self.model(images), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        images, labels = batch
        correct = (self.model(images).argmax(1) == labels).float().mean()
        self.log("accuracy", correct, on_epoch=True, batch_size=len(labels))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 2e-3)


class ReportEpochs(Callback):
    """Reports each epoch to the study, and ends the training if the study says so."""

    def __init__(self, trial):
        self.trial = trial

    def on_train_epoch_end(self, trainer, module):
        epoch = trainer.current_epoch + 1
        self.trial.save(epoch)  # The random generators, which Lightning's checkpoints do not hold.
        if not self.trial.report(epoch, **trainer.callback_metrics):
            trainer.should_stop = True


def train(trial):
    """Train the network of a trial; returns its metrics."""
    training = DataLoader(digits("train"), batch_size=16, shuffle=True)
    held_out = DataLoader(digits(trial.split), batch_size=256)
    trainer = lightning.Trainer(
        max_epochs=trial.epochs,
        accelerator=trial.device.type,
        devices=1 if trial.device.index is None else [trial.device.index],
        default_root_dir=trial.folder,
        # `last.ckpt` is what an interrupted trial continues from.
        callbacks=[ReportEpochs(trial), ModelCheckpoint(trial.folder, save_last=True)],
    )
    module = Classifier(trial.model())
    trial.restore()
    trainer.fit(module, training, held_out, ckpt_path="last")
    if trial.stopped:
        return None
    return trainer.validate(module, held_out)[0]
