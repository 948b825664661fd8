#!/usr/bin/env bash
# A Dask cluster on machines that you reach by ssh: the scheduler here, a worker on each HOST.
#   ssh.sh start HOST...    then: python -m studies.run NAME --cluster scheduler.json
#   ssh.sh stop HOST...
# Each machine has this folder at the same place (or FSMD_PLACE names it there), with the same
# virtual environment. Settings:
#   FSMD_ADDRESS  how the hosts reach this machine (default: its name)
#   FSMD_PORT     of the scheduler (default: 8786)
#   FSMD_DASHBOARD  port of its dashboard (default: 8787)
#   FSMD_DASK     the command (default: the dask that is found here)
#   FSMD_THREADS  trainings at once on a host (default: one a processor)
#   DASK_CONFIG   a file of certificates.sh, at the same place everywhere: encrypted, by key alone
set -euo pipefail
action="${1:-}"
[ "$action" = start ] || [ "$action" = stop ] || { grep '^#' "$0" >&2; exit 2; }
shift
port="${FSMD_PORT:-8786}"
place="${FSMD_PLACE:-$PWD}"
dask="${FSMD_DASK:-$(command -v dask)}"
scheme=tcp
[ -z "${DASK_CONFIG:-}" ] || scheme=tls

on() { # HOST COMMAND...: in the folder there, by a shell
    local host="$1"
    shift
    ssh -o BatchMode=yes "$host" "cd $(printf %q "$place") || exit; $*"
}

if [ "$action" = start ]; then
    address="${FSMD_ADDRESS:-$(hostname -f)}"
    rm -f scheduler.json
    # The dashboard is for this machine alone, as it asks for no password.
    nohup "$dask" scheduler --host "$address" --port "$port" --scheduler-file scheduler.json \
        --dashboard-address "127.0.0.1:${FSMD_DASHBOARD:-8787}" >scheduler.log 2>&1 </dev/null &
    echo $! >scheduler.pid
    for _ in $(seq 600); do
        [ -e scheduler.json ] && break
        kill -0 "$(cat scheduler.pid)" 2>/dev/null || { tail -3 scheduler.log >&2; exit 1; }
        sleep 0.1
    done
    for host in "$@"; do
        on "$host" "DASK_CONFIG=$(printf %q "${DASK_CONFIG:-}") nohup $(printf %q "$dask") worker" \
            "$scheme://$address:$port --name $host --nthreads ${FSMD_THREADS:-\$(nproc)}" \
            "--no-dashboard >worker.$host.log 2>&1 </dev/null &" \
            "echo \$! >worker.$host.pid"
    done
else
    for host in "$@"; do
        on "$host" "kill \$(cat worker.$host.pid)" || true
    done
    kill "$(cat scheduler.pid)"
fi
