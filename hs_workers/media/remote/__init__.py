"""Media of other servers: fetched once, kept for a while.

Spec: server-server-api/#content-repository.
"""
