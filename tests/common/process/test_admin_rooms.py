"""What operators are told of rooms and reports."""

from hs_common.process.commands.admin_rooms import report_line, room_line


def test_rooms_are_told_in_one_line_each() -> None:
    room = {"room_id": "!a:x", "joined_members": 3, "joined_local_members": 1, "version": "12"}
    assert room_line(room) == "!a:x\t3 members, 1 of this server\tversion 12"
    assert room_line({**room, "name": "Lounge"}).endswith("\tLounge")
    assert room_line({**room, "name": "Lounge", "canonical_alias": "#l:x"}).endswith("\t#l:x")


def test_reports_are_told_in_one_line_each() -> None:
    report = {"received_ts": 0, "user_id": "@a:x", "reason": "spam\nspam", "room_id": "!a:x"}
    assert report_line(report) == "1970-01-01T00:00+00:00\tby @a:x\t!a:x\tspam spam"
    assert report_line({**report, "reason": ""}).endswith("\t!a:x")
