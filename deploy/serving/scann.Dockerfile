# syntax=docker/dockerfile:1.7
# TensorFlow Serving's own image with ScaNN's ops preloaded, for exports of every index. The smoke step of cloudbuild.yaml
# says whether its program takes them.
#   docker build -f deploy/serving/scann.Dockerfile -t multigrain-tf-serving-scann .
#   docker run -p 8500:8500 -p 8501:8501 -v $PWD/out/models/retrieval:/models/retrieval:ro multigrain-tf-serving-scann

FROM python:3.11.14-bookworm AS scann
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /source
COPY deploy/serving/requirements.lock requirements.lock
RUN --mount=type=cache,target=/root/.cache/pip \
    sed -n '/^scann==/,/[^\\]$/p' requirements.lock > scann.lock \
    && pip install --no-deps --require-hashes --target=/packages --requirement scann.lock
# The program holds TensorFlow itself; the library that ScaNN's asks for has to be found, and may be empty.
RUN mkdir /opt/scann \
    && cp /packages/scann/scann_ops/cc/_scann_ops.so /opt/scann/ \
    && gcc -shared -nostdlib -x c -Wl,-soname,libtensorflow_framework.so.2 -o /opt/scann/libtensorflow_framework.so.2 /dev/null

FROM tensorflow/serving:2.20.0
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin server
COPY --from=scann /opt/scann /opt/scann
COPY deploy/serving/scann-start.sh /usr/local/bin/scann-start
COPY deploy/serving/batching.config deploy/serving/monitoring.config deploy/serving/models.config /etc/multigrain/
USER 10001
EXPOSE 8500 8501
# oneDNN's kernels of TF 2.20 corrupt the heap when batches of differing sizes run at a time (docs/serving.md).
ENV TF_ENABLE_ONEDNN_OPTS=0
ENV MODEL_BASE_PATH=/models/retrieval MODEL_NAME=retrieval
ENTRYPOINT ["/bin/sh", "/usr/local/bin/scann-start"]
CMD ["--model_config_file=/etc/multigrain/models.config"]
