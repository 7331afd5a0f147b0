"""Attention maps of a trained network, contact sheets of data, checks of the installation."""
