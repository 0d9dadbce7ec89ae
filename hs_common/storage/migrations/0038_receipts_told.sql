-- How far a destination has received what users have read. NULL: nobody has noted it, so as far as all else.
ALTER TABLE destinations ADD COLUMN receipts_to bigint;
