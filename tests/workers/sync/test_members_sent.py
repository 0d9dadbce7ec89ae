"""What a device was sent is known for the token that it was sent with."""

from hs_workers.sync.members_sent import MAXIMUM_DEVICES, MAXIMUM_MEMBERS, MembersSent

A, B = {("!r", "@a:x"): "$a"}, {("!r", "@b:x"): "$b"}


def test_members_add_up_along_the_tokens() -> None:
    sent = MembersSent()
    sent.sent("@u:x", "D", None, "s1", A)
    sent.sent("@u:x", "D", "s1", "s2", B)
    assert sent.known("@u:x", "D", "s2") == {**A, **B}
    assert sent.known("@u:x", "D", "s1") == A  # for who did not get the second answer
    assert sent.known("@u:x", "OTHER", "s1") == {}
    assert sent.known("@u:x", "D", None) == {}
    sent.sent("@u:x", "D", "s2", "s3", {})
    assert sent.known("@u:x", "D", "s3") == {**A, **B}
    assert sent.known("@u:x", "D", "s1") == {}
    sent.forget()
    assert sent.known("@u:x", "D", "s3") == {}


def test_a_first_answer_begins_anew() -> None:
    sent = MembersSent()
    sent.sent("@u:x", "D", None, "s1", A)
    sent.sent("@u:x", "D", None, "s2", B)
    assert sent.known("@u:x", "D", "s2") == B


def test_what_is_kept_is_bounded() -> None:
    sent = MembersSent()
    sent.sent("@u:x", "D", None, "s1", {("!r", f"@{number}:x"): "$" for number in range(MAXIMUM_MEMBERS + 1)})
    assert sent.known("@u:x", "D", "s1") == {}
    sent.sent("@u:x", "D", "s1", "s2", A)
    for number in range(MAXIMUM_DEVICES):
        sent.sent(f"@{number}:x", None, None, "s1", A)
    assert sent.known("@u:x", "D", "s2") == {}
