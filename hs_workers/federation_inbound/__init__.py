"""What other servers ask: events and state, queries, keys, and what they send us.

Endpoints lie in files named as the specification's. Who calls is proved before an endpoint is reached; what a server
may see of a room stands in `rooms`.
"""
