"""Unicode NFKC in core TensorFlow ops: the usual libraries need ops that a stock server does not have."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.text import unicode_tables

_HANGUL_L, _HANGUL_V, _HANGUL_T, _HANGUL_S = 0x1100, 0x1161, 0x11A7, 0xAC00
_V_COUNT, _T_COUNT, _L_COUNT = 21, 28, 19


def lookup(table: unicode_tables.PageTable, codes: tf.Tensor) -> tf.Tensor:
    """The table's value at each code point, any shape."""
    page = tf.gather(table.starts, tf.bitwise.right_shift(codes, unicode_tables.PAGE_BITS))
    return tf.gather(table.values, page + (codes & (unicode_tables.PAGE - 1)))


def nfkc(codes: tf.Tensor) -> tf.Tensor:
    """Normalises code points int32 `[length]` as `unicodedata.normalize("NFKC", ...)` does: int32 `[other]`."""
    codes = _decompose(codes)
    classes = lookup(unicode_tables.combining_classes(), codes)
    order = _canonical_order(classes)
    return _compose(tf.gather(codes, order), tf.gather(classes, order))


def _decompose(codes: tf.Tensor) -> tf.Tensor:
    """Each code point by its NFKD sequence."""
    table = unicode_tables.decompositions()
    entry = lookup(table.rows, codes)
    starts = tf.constant(table.starts)
    start = tf.gather(starts, entry)
    length = tf.where(entry == 0, 1, tf.gather(starts, entry + 1) - start)
    source = tf.repeat(tf.range(tf.size(codes)), length)
    within = tf.range(tf.size(source)) - tf.gather(tf.cumsum(length, exclusive=True), source)
    itself = tf.gather(codes, source)
    decomposed = tf.gather(tf.constant(table.sequences), tf.gather(start, source) + within)
    return tf.where(tf.gather(entry, source) == 0, itself, decomposed)


def _canonical_order(classes: tf.Tensor) -> tf.Tensor:
    """Sorts each run of combining marks by class, stably."""
    run = tf.cumsum(tf.cast(classes == 0, tf.int32))
    return tf.argsort(tf.cast(run, tf.int64) * 256 + tf.cast(classes, tf.int64), stable=True)


def _compose(codes: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Joins each starter with the marks that follow it, one a round, until nothing joins."""

    def one_round(codes, classes, tried, _):  # type: ignore[no-untyped-def]
        position = tf.range(tf.size(codes))
        starter, has_starter = _last_starter(classes)
        joined = _composite(tf.gather(codes, starter), codes)
        adjacent = starter == position - 1
        # Marks between are in order of class, so the one just before decides whether this one is blocked.
        before = tf.concat([classes[:1], classes[:-1]], axis=0)
        reachable = has_starter & (adjacent | ((before < classes) & (before > 0))) & ~tried
        candidate = tf.where(reachable & (joined > 0), position, tf.size(codes))
        first = tf.math.unsorted_segment_min(candidate, starter, tf.size(codes))
        wins = (tf.gather(first, starter) == position) & reachable & (joined > 0)
        # A starter that is swallowed this round takes nothing itself: the left-hand pair goes first.
        wins &= ~tf.gather(wins & (classes == 0), starter)
        target = tf.boolean_mask(starter, wins)
        codes = tf.tensor_scatter_nd_update(codes, target[:, None], tf.boolean_mask(joined, wins))
        tried |= has_starter & (position < tf.gather(first, starter)) & (tf.gather(first, starter) < tf.size(codes))
        kept = ~wins
        parts = [tf.boolean_mask(part, kept) for part in (codes, classes, tried)]
        return (*parts, tf.reduce_any(wins))

    tried = tf.zeros_like(codes, tf.bool)
    grown = (*[tf.TensorShape([None])] * 3, tf.TensorShape([]))
    state = (codes, classes, tried, tf.size(codes) > 0)
    return tf.while_loop(lambda *state: state[-1], one_round, state, shape_invariants=grown)[0]


def _last_starter(classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """For each position the index of the nearest starter before it, and whether there is one."""
    starters = classes == 0
    before = tf.cumsum(tf.cast(starters, tf.int32), exclusive=True)
    return tf.gather(
        tf.concat([[0], tf.boolean_mask(tf.range(tf.size(classes)), starters)], axis=0), before
    ), before > 0


def _composite(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """What a pair composes to, 0 where it does not."""
    table = unicode_tables.composites()
    keys = tf.constant(table.keys)
    key = tf.bitwise.left_shift(tf.cast(first, tf.int64), 21) + tf.cast(second, tf.int64)
    at = tf.minimum(tf.searchsorted(keys, key), len(table.keys) - 1)
    listed = tf.where(tf.gather(keys, at) == key, tf.gather(tf.constant(table.values), at), 0)
    lead, vowel, tail, syllable = first - _HANGUL_L, second - _HANGUL_V, second - _HANGUL_T, first - _HANGUL_S
    is_lv = (lead >= 0) & (lead < _L_COUNT) & (vowel >= 0) & (vowel < _V_COUNT)
    bare = (syllable >= 0) & (syllable < _L_COUNT * _V_COUNT * _T_COUNT) & (syllable % _T_COUNT == 0)
    is_lvt = bare & (tail > 0) & (tail < _T_COUNT)
    hangul = tf.where(is_lv, _HANGUL_S + (lead * _V_COUNT + vowel) * _T_COUNT, tf.where(is_lvt, first + tail, 0))
    return tf.maximum(listed, hangul)
