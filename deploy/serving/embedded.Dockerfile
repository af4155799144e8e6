# syntax=docker/dockerfile:1.7
# The embedded server: Python and the wheels that it imports, without those that train and export. Serves every export,
# ScaNN's among them.
#   docker build -f deploy/serving/embedded.Dockerfile -t multigrain-server .
#   docker run -p 8500:8500 -p 8501:8501 -v $PWD/out/models/retrieval:/models/retrieval:ro multigrain-server

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY deploy/serving/requirements.lock deploy/serving/requirements.lock
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --require-hashes --prefix=/packages --requirement deploy/serving/requirements.lock
COPY setup.py multigrain.py pyproject.toml README.md LICENSE ./
COPY preprocessing preprocessing
COPY trainer trainer
COPY serving serving
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --prefix=/multigrain .

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin server
COPY --from=build /packages /usr/local
COPY --from=build /multigrain /usr/local
COPY deploy/serving/batching.config deploy/serving/monitoring.config /etc/multigrain/
USER 10001
EXPOSE 8500 8501
ENV MODEL_BASE_PATH=/models/retrieval MODEL_NAME=retrieval PYTHONUNBUFFERED=1
# A model that answers, not merely a process that lives. Versions load before the ports say SERVING.
HEALTHCHECK --interval=10s --timeout=3s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:8501/v1/models/' + os.environ['MODEL_NAME'], timeout=2)"]
# exec: the server itself gets SIGTERM, and drains.
CMD ["sh", "-c", "exec python -m serving.server --host 0.0.0.0 --port 8500 --rest_api_port 8501 --model_base_path \"$MODEL_BASE_PATH\" --model_name \"$MODEL_NAME\" --batching_parameters_file /etc/multigrain/batching.config --monitoring_config_file /etc/multigrain/monitoring.config"]
