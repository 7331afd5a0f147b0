"""The training loop of one trial: steps, augmentation, optimizer, checkpoints."""
