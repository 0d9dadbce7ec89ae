-- Which versions of the policies a user has accepted, as one text. NULL: none.

ALTER TABLE users ADD COLUMN consent text;
