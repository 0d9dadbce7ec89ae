"""The whole pipeline under faults: one seed is one world of masters, workers and clients over a log in memory.

`python -m tests.simulation 1000` runs a thousand worlds. Everything that the project wrote itself is the real thing
(election, desk, intake, writer, deciders, link, carrier, follower); what is simulated is time, the network, processes
that freeze and die, and the database (its contract is held to PostgreSQL's in tests/master). After the faults have
ended each invariant is checked by a file of its own in `checkers/`. `rules.py` switches single rules of the protocol
off, to show that the simulator notices.
"""
