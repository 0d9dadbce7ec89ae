"""Requests to the world outside: other homeservers, pages to preview, push gateways, identity servers.

Everything that a user can make this server connect to goes through here, under one policy of where it may. `client` is
what others use; the rest are its parts: `policy` (which addresses), `resolving` (names), `trust` (certificates),
`connecting`, `connection`, `answer`, `pool`. Nothing of Matrix is known here.
"""
