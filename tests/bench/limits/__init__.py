"""`bench limits`: a server is grown and loaded until it is full, then pushed beyond, and looked at afterwards."""
