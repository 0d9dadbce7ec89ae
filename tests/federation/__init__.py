"""Servers that talk with each other: pairs of Viaduct, and a stand-in for any other server."""
