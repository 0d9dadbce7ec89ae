"""Plays against a real Synapse from the package index: `./viaduct test --real-servers tests/real_servers`.

Not a part of the usual run, as installing it takes minutes. It is a black box: what counts is what it does on the wire.
"""
