#!/bin/bash
# Runs once, when the database is made: the workers' role. Its connections are limited, so that the master, who uses the
# database's owner, always gets in. max_connections is 300 in docker-compose.yml.
set -euo pipefail
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --no-password \
    --set password="$(cat /run/viaduct-database/worker.password)" <<'SQL'
CREATE ROLE viaduct_worker LOGIN PASSWORD :'password' CONNECTION LIMIT 280;
GRANT pg_read_all_data, pg_write_all_data TO viaduct_worker;
SQL
