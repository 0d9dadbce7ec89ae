"""Another server that wants us ill: attacks over the network, each refused as the specification says.

    python -m tests.federation.hostile [--requests N] [ATTACK…]

plays all of them against a split Viaduct, and says what each cost us and what it cost the attacker. CI plays the same
ones with fewer requests (`../test_hostile_server.py`). An attack is a function that is given a `Stage` and fails where
the server did not do as it must; what it does before `with stage.attack():` is not counted.
"""
