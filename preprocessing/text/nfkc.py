"""Unicode NFKC in core TensorFlow ops: the usual libraries need ops that a stock server does not have."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.text import unicode_tables

_HANGUL_L, _HANGUL_V, _HANGUL_T, _HANGUL_S = 0x1100, 0x1161, 0x11A7, 0xAC00
_V_COUNT, _T_COUNT, _L_COUNT = 21, 28, 19


def lookup(table: unicode_tables.PageTable, codes: tf.Tensor) -> tf.Tensor:
    """The table's value at each code point, any shape."""
    page = tf.gather(tf.constant(table.page_of), codes // unicode_tables.PAGE)
    return tf.gather(tf.constant(table.values), page * unicode_tables.PAGE + codes % unicode_tables.PAGE)


def nfkc(text: tf.RaggedTensor) -> tf.RaggedTensor:
    """Normalises code points `[batch, (length)]` as `unicodedata.normalize("NFKC", ...)` does."""
    changes = tf.reduce_any(lookup(unicode_tables.unstable(), text.values) > 0)
    values, lengths = tf.cond(
        changes, lambda: _normalise(text), lambda: (text.values, tf.cast(text.row_lengths(), tf.int64))
    )
    return tf.RaggedTensor.from_row_lengths(values, lengths, validate=False)


def _normalise(text: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    codes, rows = _decompose(text.values, text.value_rowids())
    classes = lookup(unicode_tables.combining_classes(), codes)
    order = _canonical_order(classes, rows)
    codes, classes = tf.gather(codes, order), tf.gather(classes, order)
    codes, rows = _compose(codes, classes, rows)
    lengths = tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, text.nrows())
    return codes, tf.cast(lengths, tf.int64)


def _decompose(codes: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
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
    return tf.where(tf.gather(entry, source) == 0, itself, decomposed), tf.gather(rows, source)


def _canonical_order(classes: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Sorts each run of combining marks by class, stably; a row never reaches into the next."""
    segment = tf.cumsum(tf.cast((classes == 0) | _row_starts(rows), tf.int32))
    return tf.argsort(tf.cast(segment, tf.int64) * 256 + tf.cast(classes, tf.int64), stable=True)


def _row_starts(rows: tf.Tensor) -> tf.Tensor:
    return tf.concat([tf.ones_like(rows[:1], tf.bool), rows[1:] != rows[:-1]], axis=0)


def _compose(codes: tf.Tensor, classes: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Joins each starter with the marks that follow it, one a round, until nothing joins."""

    def one_round(codes, classes, rows, tried, _):  # type: ignore[no-untyped-def]
        position = tf.range(tf.size(codes))
        starter, has_starter = _last_starter(classes, rows)
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
        parts = [tf.boolean_mask(part, kept) for part in (codes, classes, rows, tried)]
        return (*parts, tf.reduce_any(wins))

    tried = tf.zeros_like(codes, tf.bool)
    grown = (*[tf.TensorShape([None])] * 4, tf.TensorShape([]))
    codes, _, rows, _, _ = tf.while_loop(
        lambda *state: state[-1],
        one_round,
        (codes, classes, rows, tried, tf.size(codes) > 0),
        shape_invariants=grown,
    )
    return codes, rows


def _last_starter(classes: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """For each position the index of the nearest starter before it in its row, and whether there is one."""
    position = tf.range(tf.size(classes))
    anchors = (classes == 0) | _row_starts(rows)
    before = tf.cumsum(tf.cast(anchors, tf.int32), exclusive=True)
    starter = tf.gather(tf.concat([[0], tf.boolean_mask(position, anchors)], axis=0), before)
    valid = (before > 0) & (tf.gather(classes, starter) == 0) & (tf.gather(rows, starter) == rows)
    return tf.where(valid, starter, 0), valid


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
