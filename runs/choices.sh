#!/usr/bin/env bash
# Makes, or resumes, results/choices: the demo's task and encoder, three levels, one sweep for each way of
# choosing or training tickets. `python docs/make_choices.py` compares them.
# Usage: runs/choices.sh [NAME ...]   (default: all of them)
set -euo pipefail
cd "$(dirname "$0")/.."
. runs/choice.bash
supertickets="${SUPERTICKETS:-.venv/bin/supertickets}"

[ $# -gt 0 ] || set -- as_described neurons teacher iterative divergence taylor as_released magnitude random
for name in "$@"; do
    choice "$name"
    options=()
    for setting in "tickets.levels=$(listed "${levels[@]}")" 'tickets.kinds=[winning]' strategy=grid "${settings[@]}"; do
        options+=(--set "$setting")
    done
    "$supertickets" find --out "results/choices/$name" "${options[@]}" ${WORKERS:+--workers "$WORKERS"}
done
