"""Pruners stop trials early: one file for each, behind one interface (`base`)."""
