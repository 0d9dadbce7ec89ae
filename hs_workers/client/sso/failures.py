"""How asking an identity provider fails."""


class ProviderFailed(Exception):
    """The provider cannot be used, or what it said proves nothing; the text is for the log."""
