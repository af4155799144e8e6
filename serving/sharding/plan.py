"""What every worker is told, and where each leaves what the next ones take."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preprocessing.data.spec import read_spec
from serving.catalogue.data_records import Requests, catalog_files
from serving.config import ServingConfig
from serving.release.build_model import Builder

WORD_PARTS = 16  # of all words, by ranges of their hashes
_REQUESTS = "requests.pickle"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A build of shards in a folder that all workers see."""

    config: ServingConfig
    job_dir: str
    data_dir: str
    vectors: Sequence[str]  # tables of `serving.batch --mode embed`
    folder: Path
    shards: int
    widths: Mapping[str, int]

    @functools.cached_property
    def files(self) -> list[str]:
        """Of the catalogue."""
        return catalog_files(self.data_dir)

    @property
    def stored(self) -> list[Path]:
        """The vectors of an earlier run."""
        return [self.folder / "stored" / f"{number:05d}" for number in range(len(self.vectors))]

    @property
    def parts(self) -> list[Path]:
        """What each file of the catalogue holds, by shard."""
        return [self.folder / "parts" / f"{number:05d}" for number in range(len(self.files))]

    @property
    def words(self) -> list[Path]:
        """All words of the catalogue, range by range."""
        return [self.folder / "words" / f"{number:02d}" for number in range(WORD_PARTS)]

    @property
    def query(self) -> Path:
        """The model of queries, and the vectors of the requests that shards are tuned and weighed by."""
        return self.folder / "query"

    @property
    def gathered(self) -> list[Path]:
        """The items of each shard, and what they are for the requests that channels are weighed by."""
        return [self.folder / "gathered" / f"{number:05d}" for number in range(self.shards)]

    @property
    def weighed(self) -> Path:
        """How channels are weighed."""
        return self.folder / "weighed"

    @property
    def models(self) -> list[Path]:
        """Each shard's model, and what its index must find."""
        return [self.folder / "models" / f"{number:05d}" for number in range(self.shards)]

    @property
    def asks_words(self) -> bool:
        """Whether words are a channel that may be asked."""
        return self.config.channels.words.on

    def builder(self) -> Builder:
        """What builds models, with the towers loaded."""
        return _builder(self.job_dir, self.data_dir, self.config.model_dump_json())

    def keep(self, requests: Mapping[str, Requests]) -> None:
        """Puts requests where workers find them."""
        (self.folder / _REQUESTS).write_bytes(pickle.dumps(dict(requests)))

    def requests(self, name: str) -> Requests:
        """Those that `keep` has put there; the folder is the build's own."""
        found: dict[str, Any] = pickle.loads((self.folder / _REQUESTS).read_bytes())
        return found[name]


@functools.lru_cache(maxsize=1)
def _builder(job_dir: str, data_dir: str, config: str) -> Builder:
    """A worker's own, for all of its tasks."""
    return Builder(ServingConfig.model_validate_json(config), job_dir, data_dir, read_spec(data_dir))
