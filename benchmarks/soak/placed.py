"""What the soak serves and where it lies: one model, or a query model and shards that a `shards.json` names."""

from __future__ import annotations

from pathlib import Path

from benchmarks.soak.replica import MODEL
from serving.release.versions import ModelFolder
from serving.retriever.sharded import read_shard_map

SHARD_MAP = "shards.json"
QUERY = "query"


class Placed:
    """The output folder of the commands.

    Args:
        path: that folder.
        shards: how many; none is one model.
    """

    def __init__(self, path: Path, shards: int) -> None:
        self.root, self.shards = ModelFolder(str(path)), shards

    @property
    def shard_map(self) -> Path:
        """The file that names the models."""
        return self.root.path / SHARD_MAP

    @property
    def parts(self) -> dict[str, ModelFolder]:
        """Each model's folder by its name; the first release makes them."""
        if not self.shards:
            return {MODEL: self.root}
        listed = read_shard_map(str(self.shard_map))
        return {one.name: ModelFolder(str(self.root.path / one.name)) for one in (listed.query, *listed.shards)}

    def latest(self) -> int | None:
        """The version in place; of shards the one that their file names."""
        return read_shard_map(str(self.shard_map)).version if self.shards else self.root.latest()

    def versions(self) -> list[int]:
        """All that lie in any model's folder, ascending."""
        return sorted({number for folder in self.parts.values() for number in folder.versions()})

    def next_version(self) -> int:
        """A number that was never used."""
        return max(folder.next_version() for folder in (self.root, *self.parts.values()))

    def rejected(self) -> list[int]:
        """What the gate turned down."""
        return sorted(int(path.name.removeprefix("rejected-")) for path in self.root.path.glob("rejected-*"))

    def items(self, number: int) -> int:
        """How many items a version's manifest says it has."""
        first, *_ = self.parts.values()
        return first.manifest(number)["items"]

    def holders(self, number: int) -> frozenset[str]:
        """The models that have a version of this number."""
        return frozenset(name for name, folder in self.parts.items() if number in folder.versions())
