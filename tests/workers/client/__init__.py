"""The endpoints of the role `client`, over a real database and a stand-in for the master."""
