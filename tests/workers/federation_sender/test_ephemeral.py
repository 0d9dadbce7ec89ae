"""Who types for long is told of again and again, and who stops once."""

from hs_common.matrix.receipts_edu import parse_receipt_edu
from hs_common.replication.ephemeral import Typing
from hs_common.replication.items import ReceiptItem
from hs_workers.federation_sender.ephemeral import EDUS_LIMIT, TYPES_ON_MS, EphemeralLane, missed_receipts


def test_typing_is_told_again_while_it_lasts() -> None:
    lane = EphemeralLane(":test")
    ((key, edu),) = lane.typing(Typing("!r", ("@a:test", "@b:there")), 0)
    assert edu["content"] == {"room_id": "!r", "user_id": "@a:test", "typing": True}
    assert lane.typing(Typing("!r", ("@a:test", "@c:test")), 5)[0][1]["content"]["user_id"] == "@c:test"
    assert lane.typing_on(TYPES_ON_MS - 1) == []
    assert lane.typing_on(TYPES_ON_MS) == [("!r", key, edu)]
    assert [again[1][2] for again in lane.typing_on(TYPES_ON_MS + 5)] == ["@c:test"]
    (stopped,) = lane.typing(Typing("!r", ("@c:test",)), TYPES_ON_MS + 6)
    assert stopped == (key, {"edu_type": "m.typing", "content": {**edu["content"], "typing": False}})
    assert [again[1][2] for again in lane.typing_on(9 * TYPES_ON_MS)] == ["@c:test"]


def test_no_more_is_taken_than_fits() -> None:
    lane = EphemeralLane(":test")
    for number in range(3):
        lane.put(["there"], ("typing", str(number)), {"number": number})
    assert lane.take("there", 2) == [{"number": 0}, {"number": 1}]
    assert lane.take("there", 0) == []
    assert lane.take("there") == [{"number": 2}]
    assert not lane.has("there")


def test_receipts_that_were_missed_are_told_together() -> None:
    rows = [(pos, f"!{pos % 2}", "@a:test", f"$t{pos // 2}", f"$e{pos}", pos) for pos in range(2 * EDUS_LIMIT + 2)]
    edus, count = missed_receipts(rows)
    assert (len(edus), count) == (EDUS_LIMIT, 2 * EDUS_LIMIT)
    told = [receipt for edu in edus for receipt in parse_receipt_edu(edu["content"], "test")]
    assert [(one.ts, one.room_id, one.user_id, one.thread_id or "", one.event_id, one.ts) for one in told] == rows[
        :count
    ]
    assert missed_receipts(rows[count:])[1] == 2
    assert missed_receipts([]) == ([], 0)


def test_what_is_told_from_the_tables_is_not_told_twice() -> None:
    lane = EphemeralLane(":test")
    item = ReceiptItem("!r", "@a:test", "m.read", "", "$e", 5, 1, 0)
    key, edu = lane.receipt(item) or ((), {})
    newer, lasting = {**edu, "edu_type": "newer"}, {"edu_type": "m.typing"}
    lane.put(["there", "else"], key, edu)
    lane.put(["else"], key, newer)
    lane.put(["else"], ("typing",), lasting)
    row = (7, "!r", "@a:test", "", "$e", 5)
    for server in ("there", "else", "nowhere"):
        lane.drop_receipt(server, row)
    assert not lane.has("there")
    assert lane.take("else") == [newer, lasting]
