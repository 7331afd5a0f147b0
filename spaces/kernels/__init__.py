"""Faster implementations of what attention modules and small networks spend their time in."""
