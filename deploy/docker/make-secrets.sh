#!/bin/bash
# Writes the suite's secrets into a folder, once; what is there stays. docker-compose.yml runs it before anything else.
set -euo pipefail
umask 077
cd "${1:?folder}"
random() { od -An -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }
[ -s secrets_key ] || random 32 > secrets_key
[ -s internal_token ] || random 32 > internal_token
[ -s postgres_password ] || random 16 > postgres_password
[ -s suite_password ] || random 16 > suite_password
printf 'postgresql://suite:%s@postgres:5432/suite' "$(cat suite_password)" > database_url
chmod 444 postgres_password suite_password   # read by the postgres image's own user; the volume is mounted nowhere else
[ "$(id -u)" != 0 ] || chown 10001:10001 -- *
