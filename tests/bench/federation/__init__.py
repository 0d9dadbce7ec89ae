"""What federation costs: the same traffic of scripted servers, sent to one receiver or another over TLS on loopback."""
