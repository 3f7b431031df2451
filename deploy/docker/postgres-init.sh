#!/bin/bash
# Run by the postgres image at its first start: the services' role, which is no superuser, and its database.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -v password="$(cat /secrets/suite_password)" --username postgres <<'SQL'
CREATE ROLE suite LOGIN PASSWORD :'password' NOSUPERUSER;
CREATE DATABASE suite OWNER suite;
SQL
