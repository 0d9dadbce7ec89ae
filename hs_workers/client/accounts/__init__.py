"""What the endpoints of accounts do: registering, logging in, sessions, passwords, profiles, account data.

Classes here take values and give values or raise MatrixError; they know no requests and no replies.
"""
