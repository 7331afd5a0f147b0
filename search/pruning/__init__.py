"""Pruners stop trials early: one file per pruner; `base` has their interface."""
