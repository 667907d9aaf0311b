#!/bin/sh
# Makes the namespace (TEMPORAL_NAMESPACE at TEMPORAL_ADDRESS) and its search attributes where they are missing.
# RETENTION and SEARCH_ATTRIBUTES (names, each of type Keyword) come from the compose file.
set -eu

if ! temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$RETENTION"
fi

# A new namespace takes some seconds to be known to every part of the server.
known=
attempts=0
until known=$(temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE"); do
  attempts=$((attempts + 1))
  [ "$attempts" -lt 30 ] || exit 1
  sleep 1
done

for name in $SEARCH_ATTRIBUTES; do
  if ! printf '%s\n' "$known" | grep -qw "$name"; then
    temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$name" --type Keyword
  fi
done
