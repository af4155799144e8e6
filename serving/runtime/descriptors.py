"""The services' descriptors, for reflection: the wheel's own `*_service_pb2` modules break on today's protobuf."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool
from tensorflow_serving.apis import (  # noqa: F401 (their messages are registered by the import)
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

_PACKAGE = "tensorflow.serving"
PREDICTION_SERVICE = f"{_PACKAGE}.PredictionService"
MODEL_SERVICE = f"{_PACKAGE}.ModelService"

# Service -> its file, and each method with what the names of its messages begin with and the file they are in.
_SERVICES = {
    "PredictionService": (
        "prediction_service",
        {
            "Classify": ("Classification", "classification"),
            "Regress": ("Regression", "regression"),
            "Predict": ("Predict", "predict"),
            "MultiInference": ("MultiInference", "inference"),
            "GetModelMetadata": ("GetModelMetadata", "get_model_metadata"),
        },
    ),
    "ModelService": (
        "model_service",
        {
            "GetModelStatus": ("GetModelStatus", "get_model_status"),
            "HandleReloadConfigRequest": ("ReloadConfig", "model_management"),
        },
    ),
}


def register_services() -> None:
    """Adds both services to protobuf's default pool, where reflection looks."""
    for service, (file, methods) in _SERVICES.items():
        proto = descriptor_pb2.FileDescriptorProto(
            name=f"tensorflow_serving/apis/{file}.proto", package=_PACKAGE, syntax="proto3"
        )
        described = proto.service.add(name=service)
        for method, (messages, origin) in methods.items():
            proto.dependency.append(f"tensorflow_serving/apis/{origin}.proto")
            described.method.add(
                name=method,
                input_type=f".{_PACKAGE}.{messages}Request",
                output_type=f".{_PACKAGE}.{messages}Response",
            )
        descriptor_pool.Default().AddSerializedFile(proto.SerializeToString())
