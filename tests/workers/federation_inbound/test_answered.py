"""Transactions that come again: the same bytes get the same answer, others are seen to."""

from hs_workers.federation_inbound.answered import KEPT, KEPT_S, Answered


def test_the_same_bytes_have_the_same_answer_for_a_while() -> None:
    now = [0.0]
    answered = Answered(lambda: now[0])
    key = Answered.key("a.test", "1", b'{"pdus":[]}')
    assert answered.find(key) is None
    answered.keep(key, {"$e": {}})
    assert answered.find(key) == {"$e": {}}
    others = [("b.test", "1", b'{"pdus":[]}'), ("a.test", "2", b'{"pdus":[]}'), ("a.test", "1", b'{"pdus":[1]}')]
    assert all(answered.find(Answered.key(*other)) is None for other in others)
    now[0] += KEPT_S
    assert answered.find(key) is None


def test_memory_is_bounded() -> None:
    answered = Answered(lambda: 0.0)
    for number in range(KEPT + 5):
        answered.keep(Answered.key("a.test", str(number), b""), {})
    assert len(answered) == KEPT
    assert answered.find(Answered.key("a.test", "0", b"")) is None
