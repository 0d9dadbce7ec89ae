"""What the endpoints of rooms do: reading through `hs_common.reading`, writing through the master. No HTTP here."""
