"""Every retriever's scorecard on the same requests: what needs no model, the job, and those it is compared with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from preprocessing.words.choose_fusion import Chosen
from trainer.evaluation.retrievers import (
    Answers,
    Setting,
    ask_bm25,
    ask_job,
    ask_job_without_past,
    ask_past_queries,
)
from trainer.evaluation.scorecard import Scorecard, scorecard
from trainer.evaluation.words_channel import WordsChannel
from trainer.job.job_folder import Job
from trainer.job.seed_folders import jobs_in

_A = TypeVar("_A")


class Entry(NamedTuple):
    """What is evaluated as one: a job, or the same job trained with several seeds."""

    name: str
    folder: str
    jobs: list[str]


class Measured(NamedTuple):
    """What one retriever reached."""

    answers: Answers  # of the first seed, for examples
    scorecard: Scorecard  # of all


def entries(folders: Sequence[str], data_dir: str) -> list[Entry]:
    """The jobs behind some folders, each trained and none chosen by the eval requests of `data_dir`."""
    short = [os.path.basename(os.path.abspath(folder)) if "://" not in folder else folder for folder in folders]
    names = short if len(set(short)) == len(short) else folders  # whole paths where names do not tell them apart
    found = [Entry(name, folder, jobs_in(folder)) for name, folder in zip(names, folders, strict=True)]
    for job in (Job(path) for entry in found for path in entry.jobs):
        job.best_checkpoint()
        job.check_unseen(data_dir)
    return found


class Contest:
    """The retrievers, asked one after the other.

    Args:
      setting: what they are asked.
      ks: the depths of the figures.
      done: called whenever one was asked.
      words: the channel to fuse the first entry with, if any.
    """

    def __init__(
        self, setting: Setting, ks: Sequence[int], done: Callable[[], None], words: WordsChannel | None = None
    ) -> None:
        self._setting, self._ks, self._done, self._words = setting, ks, done, words
        self.chosen: list[Chosen] = []  # of each seed, how it was fused with the words

    def measured(self, found: Sequence[Entry], without_past: bool) -> list[Measured]:
        """What needs no model, the entries, and of the first if wanted: without the past, and fused with words."""
        bm25, past = self._asked(ask_bm25(self._setting)), self._asked(ask_past_queries(self._setting))
        own = list(self._answers(found[0]))
        answers: list[Iterable[Answers]] = [[one] for one in (bm25, past) if one is not None]
        answers += [own, *(self._answers(entry) for entry in found[1:])]
        answers += [self._without_past(found[0])] if without_past else []
        answers += self._with_words(own, found[0]) if self._words else []
        return [self._measured(one) for one in answers]

    def _with_words(self, own: Sequence[Answers], entry: Entry) -> list[list[Answers]]:
        """The words, and each seed of an entry fused with them."""
        assert self._words is not None
        alone, fused = self._words.alone(), []
        for answers, job in zip(own, entry.jobs, strict=True):
            both, chosen = self._words.fused(answers, alone, job)
            fused.append(both)
            self.chosen.append(chosen)
        return [[alone], fused]

    def _answers(self, entry: Entry) -> Iterator[Answers]:
        return (self._asked(ask_job(entry.name, job, self._setting)) for job in entry.jobs)

    def _without_past(self, entry: Entry) -> Iterator[Answers]:
        return (ask_job_without_past(entry.name, job, self._setting) for job in entry.jobs)

    def _asked(self, answers: _A) -> _A:
        self._done()
        return answers

    def _measured(self, answers: Iterable[Answers]) -> Measured:
        """One retriever by its answers of each seed, of which the first is kept."""
        setting, cards, first = self._setting, [], None
        for one in answers:
            first = first or one
            cards.append(scorecard(one, setting.eval_requests, setting.catalogue, setting.judgments, self._ks))
        assert first is not None  # an entry has a job
        return Measured(first, Scorecard.of_seeds(cards))
