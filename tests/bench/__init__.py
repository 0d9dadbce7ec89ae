"""A closed-loop benchmark of a homeserver, ours or any other: CPU per operation and process, latencies, memory.

Runs as `./viaduct bench` or `python -m tests.bench`. It talks to the server by HTTP alone and knows nothing of our code
but the command that starts a server, so that another homeserver is measured by the same requests. How to read its
figures: docs/performance.md.
"""
