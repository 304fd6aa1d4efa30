#!/usr/bin/env bash
# Makes, or resumes, results/choices: the demo's task and encoder, three levels, one sweep for each way of
# choosing or training tickets. `python docs/make_choices.py` compares them.
# Usage: runs/choices.sh [NAME ...]   (default: all of them)
set -euo pipefail
cd "$(dirname "$0")/.."
supertickets="${SUPERTICKETS:-.venv/bin/supertickets}"
levels='[0.3, 0.5, 0.7]'

sweep() { # name, settings
    local name="$1" settings=()
    shift
    for setting in "tickets.levels=$levels" 'tickets.kinds=[winning]' strategy=grid "$@"; do settings+=(--set "$setting"); done
    "$supertickets" find --out "results/choices/$name" "${settings[@]}" ${WORKERS:+--workers "$WORKERS"}
}
run() {
    case "$1" in
        as_described | as_released | taylor | divergence | magnitude | random) sweep "$1" "scoring.scorer=$1" ;;
        iterative) sweep iterative scoring.rounds=10 ;;
        # The levels at which as many weights of the encoder's layers remain as at 0.3, 0.5 and 0.7 of whole sublayers.
        neurons) levels='[0.209, 0.5, 0.68]' sweep neurons units.ffn=neuron ;;
        teacher) sweep teacher training.teacher=full ;;
        *) echo "unknown choice $1" >&2; exit 2 ;;
    esac
}
[ $# -gt 0 ] || set -- as_described neurons teacher iterative divergence taylor as_released magnitude random
for name in "$@"; do run "$name"; done
