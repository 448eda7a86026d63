#!/bin/sh
# The PostgreSQL image runs this once, when its data folder is new. Each project gets a database and a user that can
# open no other database, so that a compromised site can read neither the portal's passwords nor another site's data.
# Environment: POSTGRES_PORTAL_PASSWORD, POSTGRES_SITE_A_PASSWORD, POSTGRES_SITE_B_PASSWORD.
set -eu

add() {
    psql -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
        -v name="$1" -v password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}

add portal "${POSTGRES_PORTAL_PASSWORD:?}"
add site_a "${POSTGRES_SITE_A_PASSWORD:?}"
add site_b "${POSTGRES_SITE_B_PASSWORD:?}"
