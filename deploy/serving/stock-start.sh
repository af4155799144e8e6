#!/bin/sh
# Starts TensorFlow Serving on an export that it can run; refuses one with ScaNN's ops before it would fail on them.
set -eu
base="${MODEL_BASE_PATH:-/models/retrieval}"
newest=$(ls "$base" 2>/dev/null | grep -E '^[0-9]+$' | sort -n | tail -n 1 || true)
if [ -z "$newest" ]; then
    echo "error: $base has no version in it; mount the folder that python -m serving.export wrote" >&2
    exit 2
fi
if grep -q 'Scann>' "$base/$newest/saved_model.pb"; then
    echo "error: $base/$newest needs ScaNN's ops, which this image has not: export with --index portable, or deploy embedded.Dockerfile" >&2
    exit 2
fi
# TensorFlow Serving refuses calls past this many at a time, and its own default is four times the cores.
exec tensorflow_model_server --port=8500 --grpc_max_threads="${GRPC_MAX_THREADS:-256}" --rest_api_port=8501 --enable_batching=true \
    --batching_parameters_file=/etc/multigrain/batching.config \
    --tensorflow_session_config_file=/etc/multigrain/session.config \
    --monitoring_config_file=/etc/multigrain/monitoring.config "$@"
