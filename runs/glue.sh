#!/usr/bin/env bash
# Makes, or resumes, the kept results under results/: one `find` per task and encoder, one after the other.
# Usage: runs/glue.sh [NAME ...]   (default: all of them, cheapest first)
# Data: $SUPERTICKETS_GLUE, else ../shared/glue. The mpnet encoder needs `make mpnet` once.
set -euo pipefail
cd "$(dirname "$0")/.."
glue="${SUPERTICKETS_GLUE:-../shared/glue}"
supertickets="${SUPERTICKETS:-.venv/bin/supertickets}"
controls=(--set strategy=grid --set 'tickets.levels=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]' --set 'tickets.control_levels=[0.2, 0.4, 0.6]')

minilm() { # task, training examples (null: all)
    "$supertickets" find "$1" --data "$glue" --encoder minilm --out "results/$1" "${controls[@]}" \
        --set training.learning_rate=1e-4 --set "data.train_examples=$2" ${WORKERS:+--workers "$WORKERS"}
}
mpnet() { # task
    "$supertickets" find "$1" --data "$glue" --encoder mpnet --out "results/$1-mpnet" "${controls[@]}" \
        --set training.learning_rate=5e-5 --set data.train_examples=1000 ${WORKERS:+--workers "$WORKERS"}
}
run() {
    case "$1" in
        sst2) minilm sst2 2000 ;;
        cola) minilm cola null ;;
        rte) minilm rte null ;;
        mrpc) minilm mrpc null ;;
        sst2-mpnet) mpnet sst2 ;;
        cola-mpnet) mpnet cola ;;
        *) echo "unknown result $1: sst2, cola, rte, mrpc, sst2-mpnet or cola-mpnet" >&2; exit 2 ;;
    esac
}
[ $# -gt 0 ] || set -- sst2 cola rte sst2-mpnet cola-mpnet mrpc
for name in "$@"; do run "$name"; done
