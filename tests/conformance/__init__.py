"""What every endpoint owes to every caller, asked of a running server; the endpoints tell by their own declarations."""
