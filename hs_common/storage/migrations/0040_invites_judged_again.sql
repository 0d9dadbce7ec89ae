-- Where a room's state was told with the create event behind others, these were rejected, the invite to the room among
-- them; so whoever was invited could not join any more. What is out of band was accepted when it came: as such it is
-- judged again with the next join.
UPDATE events SET status = 5
 WHERE status = 2 AND event_id IN (
       SELECT event_id FROM local_membership WHERE out_of_band AND to_pos = 9223372036854775807);
