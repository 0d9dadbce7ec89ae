"""Plays and fault tests against real processes, started by the command line as a user starts them."""
