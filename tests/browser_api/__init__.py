"""Tests of what the blueprint for browsers answers, without a browser."""
