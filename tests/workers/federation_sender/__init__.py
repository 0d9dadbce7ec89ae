"""Tests of the role federation-sender."""
