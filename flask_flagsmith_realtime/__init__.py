"""Flagsmith feature flags for Flask."""

__version__ = "0.1.0"
