#!/bin/sh
# Starts TensorFlow Serving with ScaNN's ops, and says in one line whether its program takes them.
set -eu
library="${SCANN_OPS:-/opt/scann/_scann_ops.so}"
export LD_LIBRARY_PATH="$(dirname "$library")"
# Every name of the library is bound at once, so that one that is missing shows here and not in a query.
if ! found=$(LD_BIND_NOW=1 LD_PRELOAD="$library" tensorflow_model_server --version 2>&1); then
    echo "error: ScaNN's ops were not found: tensorflow_model_server does not start with $library: $(echo "$found" | tail -n 1)" >&2
    exit 2
fi
case "$found" in *"cannot be preloaded"*)
    echo "error: ScaNN's ops were not found: $(echo "$found" | grep -m 1 'cannot be preloaded')" >&2
    exit 2 ;;
esac
echo "ScaNN's ops were found: $library is bound to tensorflow_model_server"
export LD_PRELOAD="$library"
# TensorFlow Serving refuses calls past this many at a time, and its own default is four times the cores.
exec tensorflow_model_server --port=8500 --grpc_max_threads="${GRPC_MAX_THREADS:-256}" --rest_api_port=8501 --enable_batching=true \
    --batching_parameters_file=/etc/multigrain/batching.config \
    --monitoring_config_file=/etc/multigrain/monitoring.config "$@"
