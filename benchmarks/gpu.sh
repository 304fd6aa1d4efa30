#!/usr/bin/env bash
# The figures that want a GPU. Not run yet: no GPU has been at hand.
#   1. training speed and model-FLOP utilisation of MPNet base, full and half pruned, compiled or not
#   2. a sweep against the protocol of 2021
#   3. a small sweep on one card: one run at a time, and four at once through Ray's shares of a GPU
#   4. GLUE's eight tasks with MPNet base, 5 seeds, 8 levels, every kind at every level
# Each `find` resumes, so the script can be stopped and started again; what 1 to 3 measured is not measured again.
# Usage: benchmarks/gpu.sh [TASK ...]      Data: $SUPERTICKETS_GLUE, else ../shared/glue.
# Needs once: make setup mpnet; .venv/bin/pip install -c constraints.txt -e '.[ray]'
set -euo pipefail
cd "$(dirname "$0")/.."
glue="${SUPERTICKETS_GLUE:-../shared/glue}"
supertickets="${SUPERTICKETS:-.venv/bin/supertickets}"
python="${PYTHON:-.venv/bin/python}"
"$python" -c 'import sys, torch; torch.cuda.is_available() or sys.exit("this script wants a GPU, and torch sees none")'

# Results of the processor lie in benchmarks/results; those of this card are kept apart.
kept=benchmarks/results/gpu
mkdir -p "$kept"
measure() {
    [ -e "$kept/$1.json" ] || "$python" - "$1" "$kept" <<'END'
import sys
from pathlib import Path
from benchmarks.catalogue import measure
measure(sys.argv[1], quick=False, say=print).save(Path(sys.argv[2]))
END
}
measure gpu_throughput
measure sweep_cost

for share in 1 0.25; do
    out="runs/gpu-share-$share"
    [ -e "$out/seconds" ] && continue
    rm -rf "$out"
    start=$SECONDS
    "$supertickets" find --workers ray --out "$out" --set strategy=grid --set "cluster.gpus_per_run=$share"
    echo $((SECONDS - start)) > "$out/seconds"
done
echo "the demo's grid, seconds: one run on the card $(cat runs/gpu-share-1/seconds), four at once $(cat runs/gpu-share-0.25/seconds)"

[ $# -gt 0 ] || set -- rte mrpc stsb cola sst2 qnli qqp mnli
for task in "$@"; do
    "$supertickets" find "$task" --data "$glue" --encoder mpnet --budget paper --out "results/$task-mpnet-full" \
        --set strategy=grid --set training.learning_rate=5e-5
done
