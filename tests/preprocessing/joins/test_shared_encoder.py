"""One encoder a process, whoever of a job's transforms asks."""

from __future__ import annotations

import pickle

from preprocessing.config import PreprocessingConfig
from preprocessing.joins.shared_encoder import SharedEncoder

WORDS = {"brand": ["acme", "zenith"], "word": ["sofa"], "price": ["all\t0.0"]}


def test_copies_of_a_job_share_one_encoder_and_another_job_has_its_own() -> None:
    shared = SharedEncoder(PreprocessingConfig())
    first, copy = (pickle.loads(pickle.dumps(shared)) for _ in range(2))
    encoder = first.get(WORDS)
    assert copy.get(dict(WORDS)) is encoder
    assert SharedEncoder(PreprocessingConfig()).get(WORDS) is not encoder
    assert encoder.ids("brand", ["acme", "zenith", ""]) == [101, 102, 0]
    assert encoder.texts(["red SOFA", ""], ("word",))[1] == ([],)


def test_other_vocabularies_make_another_encoder() -> None:
    shared = SharedEncoder(PreprocessingConfig())
    few = shared.get(WORDS)
    more = shared.get({**WORDS, "brand": ["acme", "zenith", "nadir"]})
    assert few is not more
    assert more.ids("brand", ["nadir"]) == [103]
