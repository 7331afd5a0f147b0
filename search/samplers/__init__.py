"""Samplers propose the next architecture: one file per sampler; `base` has their interface."""
