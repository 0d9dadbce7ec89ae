"""Which user the embedded PostgreSQL runs as, and what that user can reach.

PostgreSQL refuses to run as root. Root therefore hands it to an unprivileged user; everybody else keeps their own.
Never changes the mode of a folder that it did not make.
"""

import os
import pwd
import subprocess
from pathlib import Path

from hs_common.process.child_process import Identity

_PREFERRED_USERS = ("postgres", "nobody")


def unprivileged_identity(data: Path) -> Identity | None:
    """The user to become for programs that refuse root; None when we are not root and need not change.

    That is the owner of an existing `data` folder, so that root can start what an ordinary user made.
    Raises LookupError when we are root and the machine has none of the usual unprivileged users.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Identity(f"user {owner.st_uid}", owner.st_uid, owner.st_gid)
    for name in _PREFERRED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(name, entry.pw_uid, entry.pw_gid)
    raise LookupError(f"PostgreSQL does not run as root, and there is no user {' or '.join(_PREFERRED_USERS)} here")


def can_enter(identity: Identity | None, folder: Path) -> bool:
    """Whether the user can open paths through `folder`, which takes every folder on the way to it as well."""
    return _ask(identity, 'test -x "$1"', folder)


def can_execute(identity: Identity | None, program: Path) -> bool:
    """Whether the user can read and execute the program where it lies."""
    return _ask(identity, 'test -r "$1" && test -x "$1"', program)


def _ask(identity: Identity | None, condition: str, path: Path) -> bool:
    """Asked of the kernel by a child with that identity, so that groups, ACLs and mount options count."""
    return (
        subprocess.run(
            ["/bin/sh", "-c", condition, "sh", str(path)],
            check=False,
            cwd="/",
            user=None if identity is None else identity.user_id,
            group=None if identity is None else identity.group_id,
            extra_groups=None if identity is None else [],
        ).returncode
        == 0
    )


def give_to(identity: Identity | None, path: Path) -> None:
    """Make one file or folder (not what is in it) the identity's own."""
    if identity is not None:
        os.chown(path, identity.user_id, identity.group_id)
