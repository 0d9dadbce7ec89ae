"""Talking with other servers: finding them, signing requests, their keys, and what of theirs is kept for a while.

`client` is what workers ask through; `discovery` finds where a server is; `key_ring` knows the keys of servers and
verifies what they signed. What an answer means is known to who asks.
"""
