#!/bin/sh
# Makes the folders of the volume, then runs a command of mmgen, which gets the signals.
set -eu
mkdir -p "$MMGEN_HOME" "$HF_HOME" "$XDG_CACHE_HOME" "$TMPDIR"
exec mmgen "$@"
