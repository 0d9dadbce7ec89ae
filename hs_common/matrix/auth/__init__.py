"""The authorisation rules, one file per topic; the rest of the code imports `hs_common.matrix.auth_rules`.

`rules.py` holds the numbered list and calls the others in its order. The numbers in the comments are those of version
12 (rooms/v12, #authorisation-rules), with the version named where a rule is gone from there.
"""
