#!/bin/sh
# Makes a virtual environment and links our server-extension setting into it.
#
#   sh tools/setup.sh PYTHON VENV
#
# Wheels carry the setting as a data file; an editable install does not, and Jupyter Server would then not
# know the extension. A link, not a copy, so that it is never out of date.
set -eu
python=$1
venv=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "There is no '$python' here. Install Python 3.11 or later, or say: make PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "'$python' is $("$python" --version 2>&1); cellmesh needs Python 3.11 or later." \
        "Say: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "'$python' cannot make virtual environments: its ensurepip module is missing." >&2
        echo "On Debian and Ubuntu: sudo apt install python3-venv" >&2
        echo "Or take another Python: make PYTHON=/path/to/python3" >&2
        exit 1
    fi
    "$python" -m venv --clear "$venv"
fi
target=$venv/etc/jupyter/jupyter_server_config.d
mkdir -p "$target"
ln -sfn "$(pwd)/jupyter_ext/config/cellmesh.json" "$target/cellmesh.json"
