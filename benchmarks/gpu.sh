#!/usr/bin/env bash
# The figures that want a GPU: GLUE's eight tasks with MPNet base, 5 seeds, 8 levels, every kind at every level.
# Each `find` resumes, so the script can be stopped and started again. Not run yet: no GPU has been at hand.
# Usage: benchmarks/gpu.sh [TASK ...]      Data: $SUPERTICKETS_GLUE, else ../shared/glue. Needs `make mpnet` once.
set -euo pipefail
cd "$(dirname "$0")/.."
glue="${SUPERTICKETS_GLUE:-../shared/glue}"
supertickets="${SUPERTICKETS:-.venv/bin/supertickets}"
.venv/bin/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("this script wants a GPU, and torch sees none")'
[ $# -gt 0 ] || set -- rte mrpc stsb cola sst2 qnli qqp mnli
for task in "$@"; do
    "$supertickets" find "$task" --data "$glue" --encoder mpnet --budget paper --out "results/$task-mpnet-full" \
        --set training.learning_rate=5e-5
done
