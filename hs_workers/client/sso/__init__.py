"""Single sign-on: identity providers, what they say, and whose account that is."""
