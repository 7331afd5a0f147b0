"""Attention mechanisms: the catalogue (plain data) and one module a file."""
