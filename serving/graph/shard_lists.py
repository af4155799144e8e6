"""What both channels find in one shard: whoever asks all shards merges each channel's lists, then fuses the two."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from serving.catalogue.data_records import Strings
from serving.graph.channels import Channels
from serving.graph.conditions import Conditions
from serving.graph.item_lookup import ItemLookup
from serving.index.base import Candidates, variable


class ShardLists(tf.Module):
    """Lists of a shard's items, each with its place in the whole catalogue: it says which of equal scores is first.

    Args:
      items: of the shard.
      channels: of the same items, as the whole catalogue weighs words.
      places: int `[N]`, the row of each item in the whole catalogue; fresh items come behind.
    """

    def __init__(self, items: ItemLookup, channels: Channels, places: np.ndarray) -> None:
        super().__init__(name="shard_lists")
        self.items, self.channels = items, channels
        self.places = variable(np.append(-1, places).astype(np.int32), tf.int32, "places", grows=True)

    def __call__(self, inputs: Strings) -> dict[str, tf.Tensor]:
        """A query `[B]`, its vector, k and conditions -> two lists `[B, max k]`, and the kind of the query `[B]`."""
        words = self.items.words_of(inputs["query"])
        conditions = Conditions.read(inputs, self.items.wanted_words)
        vector, by_words = self.channels.lists(inputs["embedding"], words, inputs["k"], conditions)
        kinds = {"kinds": self.channels.kinds_of(words)}
        return kinds | self._named("", vector) | self._named("word_", by_words)

    def _named(self, prefix: str, found: Candidates) -> dict[str, tf.Tensor]:
        scores, rows = found
        places = tf.gather(self.places.read_value(), rows + 1)
        named = {"item_ids": self.items.ids_of(rows), "scores": scores, "places": places}
        return {f"{prefix}{name}": tf.ensure_shape(one, [None, None]) for name, one in named.items()}
