"""Tests of the role that sends to application services."""
