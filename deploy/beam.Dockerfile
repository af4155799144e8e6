# syntax=docker/dockerfile:1.7
# The pipeline on Dataflow, Flink or Spark: a worker's container, and the launcher of the flex template in one.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY deploy/requirements.lock deploy/requirements.lock
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --require-hashes --prefix=/packages --requirement deploy/requirements.lock
COPY setup.py multigrain.py pyproject.toml README.md LICENSE ./
COPY preprocessing preprocessing
COPY trainer trainer
COPY serving serving
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --prefix=/multigrain .

FROM apache/beam_python3.11_sdk:2.77.0 AS beam

FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00 AS launcher

FROM python:3.11.14-slim-bookworm
# The worker is to use what is installed here, not an environment that it makes for itself.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    FLEX_TEMPLATE_PYTHON_PY_FILE=/template/launch.py
# Build with `--build-arg UID=0` for a runner that hands its workers folders of root's.
ARG UID=10001
RUN useradd --non-unique --uid "${UID}" --create-home multigrain
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY --from=build /packages /usr/local
COPY --from=build /multigrain /usr/local
COPY deploy/dataflow/launch.py /template/launch.py
COPY configs /template/configs
WORKDIR /template
USER ${UID}
ENTRYPOINT ["/opt/apache/beam/boot"]
