"""The errors for accounts that cannot be used."""

from hs_common.matrix.errors import MatrixError
from hs_common.storage.users import Account


def check_usable(account: Account) -> None:
    """Raises 403 `M_USER_DEACTIVATED` or 401 `M_USER_LOCKED`. A suspended account may log in.

    https://spec.matrix.org/v1.19/client-server-api/#account-moderation
    """
    if account.deactivated:
        raise MatrixError(403, "M_USER_DEACTIVATED", "This account has been deactivated")
    if account.locked:
        raise user_locked()


def user_locked() -> MatrixError:
    """The account is locked; the client keeps its keys and tries again some time."""
    return MatrixError(401, "M_USER_LOCKED", "This account has been locked", {"soft_logout": True})
