"""Tests of the sync worker."""
