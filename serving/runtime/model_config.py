"""Which models are served, from where, and which of their versions: TensorFlow Serving's model config."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import file_system_storage_path_source_pb2 as source_pb2
from tensorflow_serving.config import model_server_config_pb2

from preprocessing.command.console import UserError

VersionPolicy = source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


@dataclass(frozen=True)
class ModelConfig:
    """One model: its folder, the versions wanted and what they are also called."""

    name: str
    base_path: Path
    latest: int = 1  # how many of the newest; 0 takes all
    specific: tuple[int, ...] = ()  # these alone, where given
    labels: dict[str, int] = field(default_factory=dict)

    def wanted(self, versions: Iterable[int]) -> list[int]:
        """Of the versions that are there, those to serve, ascending."""
        there = sorted(versions)
        if self.specific:
            return [version for version in there if version in self.specific]
        return there[-self.latest :] if self.latest else there

    def versions(self) -> list[int]:
        """What is in the folder now. A folder that cannot be read has none."""
        try:
            entries = list(self.base_path.iterdir())
        except OSError:
            return []
        return sorted(int(one.name) for one in entries if one.name.isdecimal() and one.is_dir())


def models_of(config: Any) -> list[ModelConfig]:
    """The models of a `ModelServerConfig` message; a mistake in it is a `UserError`."""
    if config.WhichOneof("config") != "model_config_list":
        raise UserError("the model config has no model_config_list")
    models = [_model(one) for one in config.model_config_list.config]
    names = [one.name for one in models]
    if len(set(names)) != len(names):
        raise UserError(f"the model config names a model twice: {', '.join(sorted(names))}")
    return models


def _model(config: Any) -> ModelConfig:
    if not config.name or not config.base_path:
        raise UserError("the model config has a model without name or base_path")
    if config.model_platform not in ("", "tensorflow"):
        raise UserError(f"model {config.name}: model_platform {config.model_platform!r}; only tensorflow is served")
    base = Path(config.base_path)
    if not base.is_absolute():
        raise UserError(f"model {config.name}: base_path {config.base_path} must be absolute")
    policy: Any = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    latest, specific = 1, ()
    if choice == "all":
        latest = 0
    elif choice == "specific":
        specific = tuple(policy.specific.versions)
        if not specific:
            raise UserError(f"model {config.name}: model_version_policy specific names no version")
    elif choice == "latest":
        latest = policy.latest.num_versions or 1
    return ModelConfig(config.name, base, latest, specific, dict(config.version_labels))


def read_models(path: str) -> list[ModelConfig]:
    """The models of a `--model_config_file`."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(Path(path).read_text(encoding="utf-8"), config)
    except OSError as error:
        raise UserError(f"--model_config_file {path} cannot be read: {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(f"--model_config_file {path}: {error}") from None
    return models_of(config)
