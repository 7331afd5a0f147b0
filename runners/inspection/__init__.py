"""Attention maps of a trained network, and checks of the installation."""
