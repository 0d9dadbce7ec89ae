-- What highlights for a whole room (the bits of .m.rule.is_room_mention and .m.rule.tombstone), for /notifications.
CREATE INDEX timeline_highlights ON timeline (room_id, order_pos) WHERE rule_bits & 24 <> 0;
