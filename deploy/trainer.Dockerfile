# syntax=docker/dockerfile:1.7
# The trainer: preprocessing, training, evaluation and submission. `--target cpu`, or `--target gpu` with CUDA from wheels.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY deploy/requirements.lock deploy/requirements.lock
# Heavy and seldom changed: a layer of its own, so that a change of the code below leaves it in the cache.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --require-hashes --prefix=/packages --requirement deploy/requirements.lock
COPY setup.py multigrain.py pyproject.toml README.md LICENSE ./
COPY preprocessing preprocessing
COPY trainer trainer
COPY serving serving
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --prefix=/multigrain .

FROM build AS build-gpu
COPY deploy/requirements-gpu.lock deploy/requirements-gpu.lock
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --no-deps --require-hashes --prefix=/cuda --requirement deploy/requirements-gpu.lock

FROM python:3.11.14-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --create-home multigrain
WORKDIR /home/multigrain
COPY configs configs

FROM base AS gpu
COPY --from=build-gpu /cuda /usr/local
COPY --from=build /multigrain /usr/local
USER 10001
CMD ["python", "-m", "trainer.task", "--help"]

FROM base AS cpu
COPY --from=build /packages /usr/local
COPY --from=build /multigrain /usr/local
USER 10001
CMD ["python", "-m", "trainer.task", "--help"]
