"""Logging studies to experiment trackers: readers of the database, never part of a search."""
