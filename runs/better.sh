#!/usr/bin/env bash
# Makes, or resumes, results/better, which `python docs/make_better.py` writes into docs/better.md.
# Usage: runs/better.sh choices [TASK [EXAMPLES [CHOICE]]]   what to drop and how to score it, with few examples
#        runs/better.sh mpnet [TASK [EXAMPLES [CHOICE]]]     the same on MPNet base, short texts only
#        runs/better.sh claim [TASK]                         the recipe (configs/better.yaml) beside plain fine-tuning
#        runs/better.sh recipe [TASK]                        the same beside its baselines; goes on from a claim
#        runs/better.sh neurons [TASK]                       neurons instead of sublayers, twice the epochs, greedy soups
# Data: $SUPERTICKETS_GLUE, else ../shared/glue. $OUT is where to (results/better); $WORKERS how many.
#
# choices: 4 tasks x 100, 300, 1000 training examples x 10 choices, each 3 seeds x (1 full model + 2 levels): 1080
# trainings, of 20, 10 and 5 epochs. mpnet: 2 tasks x 3 sizes x 4 choices: 216. claim: 6 tasks, each 5 seeds x (1 full
# model + 1 ticket): 60, and so neurons. recipe: 19 more a seed for the baselines: 630. Every command may be stopped, and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
. runs/choice.bash
glue="${SUPERTICKETS_GLUE:-../shared/glue}"
supertickets="${SUPERTICKETS:-.venv/bin/supertickets}"
out="${OUT:-results/better}"
declare -A epochs=([100]=20 [300]=10 [1000]=5)

find_ticket() { # task, folder, then options of find
    local task="$1" folder="$2"
    shift 2
    "$supertickets" find "$task" --data "$glue" --out "$folder" "$@" ${WORKERS:+--workers "$WORKERS"}
}
cell() { # encoder, learning rate, task, examples, choice
    local options=() setting
    choice "$5" "$1"
    for setting in "training.learning_rate=$2" "data.train_examples=$4" "training.epochs=${epochs[$4]}" \
        'seeds=[0, 1, 2]' "tickets.levels=$(listed "${levels[@]:0:2}")" 'tickets.kinds=[winning]' strategy=grid "${settings[@]}"; do
        options+=(--set "$setting")
    done
    find_ticket "$3" "$out/choices/$3-$4-$1/$5" --encoder "$1" "${options[@]}"
}
cells() { # encoder, learning rate, tasks, choices; then what was asked for
    local encoder="$1" rate="$2" tasks="${5:-$3}" sizes="${6:-100 300 1000}" choices="${7:-$4}" task size name
    for size in $sizes; do for task in $tasks; do for name in $choices; do
        cell "$encoder" "$rate" "$task" "$size" "$name"
    done; done; done
}
recipe() { # folder, task, then options of find
    local place="$1" task="$2"
    shift 2
    find_ticket "$task" "$out/$place/$task" --config configs/better.yaml "$@"
}
# One level, stated beforehand as the recipe's is: 69.2 % of MiniLM's encoder weights.
neurons=(--set units.ffn=neuron --set 'tickets.levels=[0.31]' --set training.epochs=12 --set delivery.soup=greedy)
six='sst2 cola mrpc rte stsb qnli'
what="${1:-}"
[ $# -gt 0 ] && shift
case "$what" in
    choices) cells minilm 1e-4 'sst2 cola mrpc rte' \
        'as_described neurons joint iterative consensus taylor divergence as_released magnitude random' "$@" ;;
    mpnet) cells mpnet 5e-5 'sst2 cola' 'as_described neurons taylor random' "$@" ;;
    claim) for task in ${1:-$six}; do recipe recipe "$task" --set 'baselines.arms=[]'; done ;;
    recipe) for task in ${1:-$six}; do recipe recipe "$task"; done ;;
    neurons) for task in ${1:-$six}; do recipe neurons "$task" "${neurons[@]}" --set 'baselines.arms=[]'; done ;;
    *) sed -n '2,8p' "$0" >&2; exit 2 ;;
esac
