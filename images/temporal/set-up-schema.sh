#!/bin/sh
# Makes Temporal's two databases, or brings them up to this version's schema. Runs before every server start:
# each command leaves alone what is done already. SQL_PLUGIN, SQL_HOST, SQL_PORT, SQL_USER and SQL_PASSWORD say where.
set -eu

set_up() {
  SQL_DATABASE=$1
  export SQL_DATABASE
  temporal-sql-tool create
  temporal-sql-tool setup-schema --version 0.0
  temporal-sql-tool update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$2/versioned"
}

set_up temporal temporal
set_up temporal_visibility visibility
