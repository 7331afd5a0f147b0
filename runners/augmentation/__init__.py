"""Augmentation of batches of images, from random numbers that follow from (seed, epoch, image)."""
