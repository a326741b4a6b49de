"""Measurements. Run by hand: ``make bench``."""
