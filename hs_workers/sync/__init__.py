"""The sync worker: `GET /sync`, from Postgres for any token, from memory for the newest."""
