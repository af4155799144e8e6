"""The servers that the client is tested against."""

from tests.serving.runtime.conftest import loaded, models, serve, server, stubs  # noqa: F401 (fixtures)
