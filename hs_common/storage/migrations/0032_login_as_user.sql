-- Tokens by which an administrator acts as a user, and who he is. NULL: the user's own.
ALTER TABLE access_tokens ADD COLUMN opened_by text;
CREATE INDEX access_tokens_opened_by ON access_tokens (opened_by) WHERE opened_by IS NOT NULL;
