"""Go stubs of TensorFlow Serving's protos, generated from the descriptors that its Python package carries."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import tensorflow_serving.apis
from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor import FileDescriptor
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

MODULE = "multigrain.test/client/gen"
_MESSAGES = (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
_SERVICES = ("prediction_service", "model_service")
_PLUGINS = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")
_WELL_KNOWN = "google/protobuf/"


def generate(module: Path) -> None:
    """Writes the stubs of both services under `<module>/gen`, one Go package a proto package."""
    files = _files()
    own = [one for one in files if not one.name.startswith(_WELL_KNOWN)]
    for one in own:
        one.options.go_package = f"{MODULE}/{one.package.replace('.', '_')}"
    request = plugin_pb2.CodeGeneratorRequest(
        file_to_generate=[one.name for one in own], parameter=f"module={MODULE}", proto_file=files
    )
    for plugin in _PLUGINS:
        done = subprocess.run(
            ["go", "run", plugin], cwd=module, input=request.SerializeToString(), stdout=subprocess.PIPE, check=True
        )
        answer = plugin_pb2.CodeGeneratorResponse.FromString(done.stdout)
        assert not answer.error, answer.error
        for file in answer.file:
            path = module / "gen" / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.content)


def _files() -> list[descriptor_pb2.FileDescriptorProto]:
    """The files of both services, each behind those that it imports."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name not in found:
            for dependency in file.dependencies:
                add(dependency)
            found[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)

    for messages in _MESSAGES:
        add(messages.DESCRIPTOR)
    return [*found.values(), *map(_service, _SERVICES)]


def _service(name: str) -> descriptor_pb2.FileDescriptorProto:
    """A service's file, read from the source of its module, which no longer imports under today's protobuf."""
    source = Path(tensorflow_serving.apis.__path__[0], f"{name}_pb2.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb" and isinstance(node.value, ast.Call):
            text = ast.literal_eval(node.value.args[0])
            return descriptor_pb2.FileDescriptorProto.FromString(text.encode("latin1"))
    raise RuntimeError(f"no descriptor in {name}_pb2.py")
