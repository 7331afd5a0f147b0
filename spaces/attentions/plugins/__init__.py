"""Attention modules that users register: by decorator, entry point or environment variable."""
