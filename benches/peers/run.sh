#!/bin/sh
# Our detectors beside river's (https://riverml.xyz), over the same streams in one run on one core.
#
#   sh benches/peers/run.sh
#
# Prints a Markdown table. river is installed from PyPI on the first run, into a folder of its own:
# VISU_TILITY_VENV, by default target/peers. VISU_TILITY_CORE chooses the core, by default the last.
# Needs cargo, python3 (3.11 or newer) and, on the first run, the network.
# Ends with 0 when all alarms are the same, 1 when some are not, 2 when our half fails, 3 without python3,
# 4 when river cannot be installed.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
cd "$here/../.." || exit 2
river=0.26.1
target=${CARGO_TARGET_DIR:-target}
venv=${VISU_TILITY_VENV:-$target/peers}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

if ! command -v python3 >/dev/null 2>&1; then
    echo "benches/peers: python3 was not found; install Python 3.11 or newer" >&2
    exit 3
fi
if ! "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit(m.version('river') != '$river')" \
    >/dev/null 2>&1; then
    echo "benches/peers: installing river $river into $venv" >&2
    if ! python3 -m venv "$venv" >&2; then
        echo "benches/peers: python3 cannot make a virtual environment (on Debian: apt install python3-venv)" >&2
        exit 3
    fi
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "river==$river" >&2; then
        echo "benches/peers: river $river was not installed; is the network reachable, and is" \
            "$(python3 --version) one that river has a wheel for?" >&2
        echo "benches/peers: an environment that has it can be named by VISU_TILITY_VENV" >&2
        exit 4
    fi
fi

pin=
if command -v taskset >/dev/null 2>&1; then
    core=${VISU_TILITY_CORE:-$(($(getconf _NPROCESSORS_ONLN) - 1))}
    if taskset -c "$core" true 2>/dev/null; then
        pin="taskset -c $core"
    fi
fi

cargo bench --quiet -p visu-tility-drift --bench peers --no-run || exit 2
$pin cargo bench --quiet -p visu-tility-drift --bench peers -- "$work" || exit 2
# One thread: numpy's would otherwise take other cores.
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $pin "$venv/bin/python" "$here/peers.py" "$work" "${pin:-not pinned}"
