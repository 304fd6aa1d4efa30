#!/usr/bin/env bash
# Makes, or resumes, results/sharing: GLUE's eight tasks on MiniLM, alone, multi-task, and sharing tickets.
# Usage: runs/sharing.sh
# Data: $SUPERTICKETS_GLUE, else ../shared/glue.
set -euo pipefail
cd "$(dirname "$0")/.."
glue="${SUPERTICKETS_GLUE:-../shared/glue}"
supertickets="${SUPERTICKETS:-.venv/bin/supertickets}"
exec "$supertickets" share configs/glue.yaml --out results/sharing --set "data.folder=$glue" \
    ${WORKERS:+--workers "$WORKERS"}
