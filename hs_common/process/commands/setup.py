"""`viaduct setup`: the secrets of a deployment, made once where they are kept."""

import secrets
from pathlib import Path

import click

from hs_common.process.options import failing_with, say
from hs_common.process.signing_key import make_signing_key

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--keys", type=_FOLDER, required=True, help="For the server's processes: keys and secrets, mode 600.")
@click.option("--database", type=_FOLDER, help="For PostgreSQL: the passwords of the two roles.")
@failing_with(OSError)
def setup(keys: Path, database: Path | None) -> None:
    """Make a signing key, secrets and database passwords, unless they are there. For containers; `up` needs none."""
    keys.mkdir(parents=True, exist_ok=True)
    made = [make_signing_key(keys / "signing.key", secrets.token_bytes)]
    made += [_make_secret(keys / name, 0o600) for name in ("cluster.secret", "registration.secret")]
    if database is not None:
        database.mkdir(parents=True, exist_ok=True)
        # PostgreSQL's container has a user of its own; who may read them is said by who mounts the folder.
        made += [_make_secret(database / f"{role}.password", 0o644) for role in ("owner", "worker")]
        _write(keys / "pgpass", _password_file(database), 0o600)
    say(f"Made {sum(made)} secrets in {keys}." if any(made) else f"All secrets are in {keys}.")


def _make_secret(path: Path, mode: int) -> bool:
    if path.exists():
        return False
    _write(path, secrets.token_hex(32), mode)
    return True


def _password_file(database: Path) -> str:
    """As PostgreSQL's clients read it: host:port:database:role:password."""
    roles = (("viaduct", "owner"), ("viaduct_worker", "worker"))
    return "\n".join(f"*:*:*:{role}:{(database / f'{name}.password').read_text().strip()}" for role, name in roles)


def _write(path: Path, text: str, mode: int) -> None:
    """Whole or not at all, and never readable by more than `mode` says."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text + "\n", encoding="ascii")
    unfinished.chmod(mode)
    unfinished.rename(path)
