"""Which commands of the pages tests/distributed/test_docs_run.py types, page by page, and which no test can run."""

from __future__ import annotations

# Commands that no test can run, by how they begin; those of this project are read by their own parsers in test_docs.py.
NOT_RUN = {
    ".venv/bin/python -m pytest": "runs tests, of which this is one",
    "make ": "makes an environment of its own; test_demo.py runs what it runs",
    "python -m benchmarks.": "takes minutes to hours",
    "python -m preprocessing.pipeline --config c.yaml": "needs a cluster, or logs of one day after another",
    "python -m serving.export --job-dir out/job --data out/data --output /mnt/models": "needs a cluster",
    "python tests/distributed/start_flink.py": "tests/distributed starts such clusters",
    "python -m preprocessing.compare data/": "needs two days; docs/operations.md has one that runs",
    "python -m trainer.task --config configs/mgdspr.yaml --data out/data --job-dir out/try/": "takes a training each",
    "python -m trainer.submit": "tests/trainer/cloud/test_submit.py sends the same to a stand-in of Vertex AI",
    "python -m serving.batch --mode retrieve --input queries.jsonl --target": "needs servers on three machines",
    "docker ": "needs Docker; tests/cloud reads the files",
    "gcloud ": "needs an account; tests/cloud reads the files",
    "curl -sf -X PUT search:9200": "needs OpenSearch",
    "for file in out/feed/feed-00001/": "needs OpenSearch, or Vespa",
    "vespa ": "needs Vespa",
    "sed ": "tests/cloud/test_template.py fills the template in",
}
CHAINS = {
    "the demo's market": (
        "README.md",
        "docs/diagnose.md",
        "docs/models.md",
        "docs/export.md",
        "docs/serving.md",
        "docs/batch.md",
        "docs/vectors.md",
        "docs/operations.md",
    ),
    "a shop's own logs": ("docs/data.md",),
}
