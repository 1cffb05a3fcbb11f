#!/usr/bin/env bash
# What Miniflare starts as workerd: the same, but it ends with the node process that started it, even if that is killed.
if command -v setpriv >/dev/null; then
  exec setpriv --pdeathsig KILL "$TERRACE_WORKERD" "$@"
fi
exec "$TERRACE_WORKERD" "$@"
