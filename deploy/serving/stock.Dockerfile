# TensorFlow Serving's own image, for portable and brute_force exports. It has no ScaNN: its start refuses such an export.
#   docker build -f deploy/serving/stock.Dockerfile -t multigrain-tf-serving .
#   docker run -p 8500:8500 -p 8501:8501 -v $PWD/out/models/retrieval:/models/retrieval:ro multigrain-tf-serving
FROM tensorflow/serving:2.20.0
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin server
COPY deploy/serving/stock-start.sh /usr/local/bin/stock-start
COPY deploy/serving/batching.config deploy/serving/session.config deploy/serving/monitoring.config deploy/serving/models.config \
    /etc/multigrain/
USER 10001
EXPOSE 8500 8501
# oneDNN's kernels of TF 2.20 corrupt the heap when batches of differing sizes run at a time (docs/serving.md).
ENV TF_ENABLE_ONEDNN_OPTS=0
ENV MODEL_BASE_PATH=/models/retrieval MODEL_NAME=retrieval
ENTRYPOINT ["/bin/sh", "/usr/local/bin/stock-start"]
CMD ["--model_config_file=/etc/multigrain/models.config"]
