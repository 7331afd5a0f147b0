"""Attention mechanisms: catalogue and registry (plain data), and one mechanism a file."""
