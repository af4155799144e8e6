"""A portable model in a program that is not Python: TensorFlow Java loads it and gives the same answers."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from flink_artifacts import missing_tool
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import prediction_log_pb2

from preprocessing.command.experiment import load_section
from serving.config import ServingConfig
from serving.graph.saved_model import ServedModel
from serving.release.acceptance import SIGNATURES
from tests.serving.experiment import make_data, train_job, write_experiment
from tests.serving.market import assert_same_answers

pytestmark = pytest.mark.distributed

JAVA = Path(__file__).with_name("java")
CACHE = Path.home() / ".cache" / "multigrain" / "javacpp"  # native code is unpacked there, once
Arrays = Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def classpath(tmp_path_factory: pytest.TempPathFactory) -> str:
    """TensorFlow Java's jars, downloaded by Maven at their first use."""
    lack = missing_tool()
    if lack:
        pytest.skip(lack)
    path = tmp_path_factory.mktemp("java") / "classpath"
    command = ["mvn", "--batch-mode", "--quiet", f"--file={JAVA / 'pom.xml'}", f"-Dmdep.outputFile={path}"]
    done = subprocess.run([*command, "dependency:build-classpath"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"Maven resolved no TensorFlow Java: {(done.stdout + done.stderr)[:300]}")
    return path.read_text().strip()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with a portable index over the items of a small market."""
    from serving.export import export

    folder = tmp_path_factory.mktemp("market")
    data, config_file = make_data(folder), write_experiment(folder)
    config = load_section(config_file, "serving", ServingConfig, ["serving.index=portable"])
    assert export(config, train_job(config_file, data, folder / "job"), data, str(folder / "models")) == 0
    return folder / "models" / "1"


def test_every_signature_answers_as_in_python(classpath: str, model: Path, tmp_path: Path) -> None:
    calls = {signature: inputs for signature, inputs in warmup_calls(model) if len(next(iter(inputs.values()))) > 1}
    assert set(calls) == {*SIGNATURES, "similar"}
    for signature, inputs in calls.items():
        (tmp_path / "calls" / signature).mkdir(parents=True)
        for name, array in inputs.items():
            (tmp_path / "calls" / signature / name).write_bytes(spelled_out(array).SerializeToString())
    program = [f"-Dorg.bytedeco.javacpp.cachedir={CACHE}", "-cp", classpath, str(JAVA / "CallModel.java")]
    folders = [str(model), str(tmp_path / "calls"), str(tmp_path / "answers")]
    done = subprocess.run(["java", *program, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with ServedModel(str(model), with_scann=False) as served:
        for signature, inputs in calls.items():
            expected = served.call(signature, inputs)
            assert {path.name for path in (tmp_path / "answers" / signature).iterdir()} == set(expected)
            found = {name: read(tmp_path / "answers" / signature / name) for name in expected}
            if "embedding" in expected:
                np.testing.assert_allclose(found["embedding"], expected["embedding"], atol=1e-4, err_msg=signature)
            else:
                assert_same_answers(found, expected)


def read(path: Path) -> np.ndarray:
    """A tensor that the program wrote."""
    return tf.make_ndarray(TensorProto.FromString(path.read_bytes()))


def warmup_calls(model: Path) -> list[tuple[str, Arrays]]:
    """The requests that lie beside a version: signature and inputs."""
    records = tf.data.TFRecordDataset(str(model / "assets.extra" / "tf_serving_warmup_requests"))
    logged = [prediction_log_pb2.PredictionLog.FromString(one).predict_log for one in records.as_numpy_iterator()]
    return [
        (one.request.model_spec.signature_name, {n: tf.make_ndarray(v) for n, v in one.request.inputs.items()})
        for one in logged
    ]


def spelled_out(array: np.ndarray) -> TensorProto:
    """A tensor with every value in its list, none packed: the program reads no other form."""
    proto = TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum)
    proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    values = {np.dtype(object): proto.string_val, np.dtype(np.int32): proto.int_val}
    values.get(array.dtype, proto.float_val).extend(array.ravel().tolist())
    return proto
