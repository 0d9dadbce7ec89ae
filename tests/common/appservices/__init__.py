"""Tests of what processes share about application services."""
