"""Attentions and insertions as self-contained code, for those who cannot install attentune."""
