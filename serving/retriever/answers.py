"""What a caller gets: the best items, and which shards they are from."""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.retriever.fuse_lists import VECTOR


@dataclass(frozen=True)
class Hit:
    """One item found."""

    item_id: str
    score: float
    channels: int = VECTOR  # what found it


@dataclass(frozen=True)
class Answer:
    """The best items, best first. It is partial when a shard did not answer in time: its items are not among them."""

    hits: list[Hit]
    missing: dict[str, str] = field(default_factory=dict)  # shard -> why it did not answer
    versions: dict[str, int] = field(default_factory=dict)  # shard -> the model version that answered
    known: bool = True  # false where no shard that answered has the item whose neighbours are wanted

    @property
    def partial(self) -> bool:
        """Whether a shard is missing."""
        return bool(self.missing)
