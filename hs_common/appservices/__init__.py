"""What processes share about application services: the registered ones as the log tells, and requests to them."""
