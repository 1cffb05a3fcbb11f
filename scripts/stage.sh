#!/usr/bin/env bash
# Runs one stage of a longer job: `stage.sh NAME COMMAND…`, and says how long it took.
# With $TERRACE_STAGES set to a file, a line for the summary is added to it.
set -uo pipefail
name=$1
shift
printf '\n── %s\n' "$name"
began=$SECONDS
"$@"
status=$?
printf '── %s: %s after %d s\n' "$name" "$([ $status = 0 ] && echo ok || echo FAILED)" $((SECONDS - began))
[ -z "${TERRACE_STAGES:-}" ] || printf '%5d s  %-28s %s\n' $((SECONDS - began)) "$name" "$([ $status = 0 ] && echo ok || echo FAILED)" >>"$TERRACE_STAGES"
exit $status
