"""Several homeservers that federate, under faults: one seed is one world of servers, links and users.

`python -m tests.simulation.federation 1000` runs a thousand worlds.

Real are: the whole master (election, intake, writer, every decider, placing, resolution), what takes in transactions,
joins, invites and departures (`WritingParts`: staging, room queues, fetching what is missing), the endpoints that
answer other servers, what joins and leaves rooms elsewhere (`Outgoing`), the client of federation with its back-off,
and the senders (`Deliveries`). Stood for are: time, chance, the network between servers (`wire.py`), the way from a
worker to its master (`near_link.py`), PostgreSQL (the tables and statements of `tables.py` and `*_reads.py`), and
signatures, which are digests (`keys.py`).

When the faults have ended and all is delivered, all servers of a room must have the same state; see `checkers.py`.
"""
