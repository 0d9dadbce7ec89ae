"""Password hashes say their own cost, and a check costs the same for everybody."""

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from hs_common.process.password_hasher import PasswordHasher
from tests.reactor import run

T = TypeVar("T")


class CountingThreads:
    """Runs work at once, and counts it."""

    def __init__(self) -> None:
        self.runs = 0

    async def run(self, work: Callable[[], T]) -> T:
        self.runs += 1
        return work()


def hasher(threads: CountingThreads | None = None, time_cost: int = 1, memory_kib: int = 8) -> PasswordHasher:
    numbers = count(1)
    return PasswordHasher(
        time_cost, memory_kib, threads or CountingThreads(), lambda size: next(numbers).to_bytes(size, "big")
    )


def test_only_the_password_that_was_hashed_matches() -> None:
    passwords = hasher()
    kept = run(passwords.hash("Größe 🐎"))
    assert run(passwords.matches("Größe 🐎", kept))
    assert not run(passwords.matches("Grösse 🐎", kept))
    assert not run(passwords.matches("", kept))


def test_equal_passwords_have_different_hashes() -> None:
    passwords = hasher()
    assert run(passwords.hash("same")) != run(passwords.hash("same"))


def test_a_hash_names_its_kind_and_cost() -> None:
    assert run(hasher(time_cost=2, memory_kib=16).hash("x")).startswith("$argon2id$v=19$m=16,t=2,p=1$")


def test_old_hashes_stay_good_and_are_known_as_old() -> None:
    old, new = hasher(time_cost=1), hasher(time_cost=2)
    kept = run(old.hash("x"))
    assert run(new.matches("x", kept))
    assert new.is_outdated(kept)
    assert not old.is_outdated(kept)


def test_what_is_no_hash_of_ours_matches_nothing() -> None:
    for kept in ("", "x", "$2b$12$abcdefghijklmnopqrstuv"):
        assert not run(hasher().matches("x", kept))


def test_an_account_that_does_not_exist_costs_one_hash_too() -> None:
    threads = CountingThreads()
    passwords = hasher(threads)
    kept = run(passwords.hash("x"))
    threads.runs = 0
    run(passwords.matches("y", kept))
    assert threads.runs == 1
    assert not run(passwords.matches("y", None))
    assert threads.runs == 2
