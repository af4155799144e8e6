"""Which versions a model has and what has become of each, by TensorFlow Serving's rules: no threads, no files here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2

from serving.runtime.config_files import ModelConfig
from serving.runtime.servable import Servable
from serving.runtime.status import ServingError, invalid, not_found

State = get_model_status_pb2.ModelVersionStatus


@dataclass(frozen=True)
class Retries:
    """How often a load that failed is tried again while its files stay as they are."""

    most: int = 5
    seconds: float = 60.0  # between two


@dataclass
class Version:
    """A version that was seen, in memory or not. One that failed has an error, one that was unloaded has none."""

    number: int
    state: int = State.START
    error: ServingError | None = None
    servable: Servable | None = None  # what answers
    draining: Servable | None = None  # what was taken out of use last, while requests still hold it
    files: object = None  # what its files looked like when its load was last tried
    failures: int = 0  # of loads of these files
    tried: float = 0.0

    def due(self, files: object, now: float, retries: Retries) -> bool:
        """Whether it is to be loaded now: never tried, unloaded, changed since it failed, or to be tried again."""
        if self.servable is not None:
            return False
        if self.error is None or self.files != files:
            return True
        return self.failures <= retries.most and now - self.tried >= retries.seconds

    def begin(self, files: object, now: float) -> None:
        """Its load begins."""
        self.failures = self.failures if self.files == files else 0
        self.state, self.error, self.files, self.tried = State.LOADING, None, files, now

    def loaded(self, servable: Servable) -> None:
        """It answers from now on."""
        self.state, self.servable, self.failures = State.AVAILABLE, servable, 0

    def failed(self, error: ServingError) -> None:
        """Its load failed."""
        self.state, self.error = State.END, error
        self.failures += 1

    def retire(self) -> Servable | None:
        """Takes it out of use; gives what requests may still hold."""
        servable, self.servable = self.servable, None
        if servable is not None:
            self.state, self.draining = State.UNLOADING, servable
        return servable

    def drained(self, servable: Servable) -> None:
        """Nobody holds what was taken out of use; the number may be in use again by now."""
        if self.draining is servable:
            self.draining = None
            if self.state == State.UNLOADING:
                self.state = State.END


@dataclass
class Model:
    """A configured model and its versions by number."""

    config: ModelConfig
    versions: dict[int, Version] = field(default_factory=dict)

    def available(self) -> list[int]:
        """What answers now, ascending."""
        return sorted(one.number for one in self.versions.values() if one.servable is not None)

    def unwanted(self, wanted: list[int]) -> list[Version]:
        """What answers and shall no longer: all but the wanted; the newest goes on where none of the wanted answers."""
        available = self.available()
        if not set(available) & set(wanted):
            wanted = available[-1:]
        return [self.versions[number] for number in available if number not in wanted]

    def find(self, spec: Any) -> Servable:
        """What a `ModelSpec` of this model names."""
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label" and spec.version_label:
            number = self.config.labels.get(spec.version_label)
            if number is None:
                raise unknown_label(spec)
        elif choice == "version":
            number = spec.version.value
        else:
            number = max(self.available(), default=None)
            if number is None:
                raise no_latest(spec)
        version = self.versions.get(number)
        if version is None or version.servable is None:
            raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
        return version.servable


def find(models: dict[str, Model], spec: Any) -> Servable:
    """What a `ModelSpec` names."""
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    model = models.get(spec.name)
    if model is not None:
        return model.find(spec)
    if spec.version_label:
        raise unknown_label(spec)
    if spec.HasField("version"):
        raise not_found(f"Servable not found for request: Specific({spec.name}, {spec.version.value})")
    raise no_latest(spec)


def unknown_label(spec: Any) -> ServingError:
    """No version is called so."""
    return invalid(f"Unrecognized servable version label: {spec.version_label}")


def no_latest(spec: Any) -> ServingError:
    """The model has no version that answers."""
    return not_found(f"Servable not found for request: Latest({spec.name})")
