# Sourced by choices.sh and better.sh: what each way of choosing or training tickets sets.
# `choice NAME [ENCODER]` fills `settings`, and `levels` so that as many weights of the encoder's layers remain as at the
# levels 0.3, 0.5 and 0.7 of whole sublayers.
choice() {
    levels=(0.3 0.5 0.7) settings=()
    local same=(0.209 0.5 0.68) joint=(0.209 0.5 0.676)
    [ "${2:-minilm}" = mpnet ] && same=(0.266 0.5 0.7) joint=(0.266 0.5 0.7)
    case "$1" in
        as_described | as_released | taylor | divergence | magnitude | random) settings=("scoring.scorer=$1") ;;
        iterative) settings=(scoring.rounds=10) ;;
        neurons) levels=("${same[@]}") settings=(units.ffn=neuron) ;;
        joint) levels=("${joint[@]}") settings=(tickets.ranking=joint) ;;
        consensus) settings=(tickets.importance=consensus) ;;
        teacher) settings=(training.teacher=full) ;;
        *) echo "unknown choice $1" >&2; return 2 ;;
    esac
}

listed() { # the levels as YAML
    local IFS=,
    echo "[${*}]" | sed 's/,/, /g'
}
