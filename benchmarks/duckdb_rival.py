"""The joins of the pipeline in DuckDB, as a data engineer would do them on one machine.

Positives with attributes, three horizons, previous queries and what was shown in vain, for each request that was
answered. No text analysis, no vocabularies, no TFRecords: strings go into one Parquet file. It needs DuckDB alone:

    python -m venv duck && duck/bin/pip install duckdb
    duck/bin/python benchmarks/duckdb_rival.py raw/ joined.parquet 2
"""

from __future__ import annotations

import json
import sys
import time

_DAY = "86400000::BIGINT"
_STEPS = {
    "read": """
        CREATE TABLE items AS SELECT item_id, title, {{'item': item_id, 'brand': brand, 'shop': shop,
            'leaf': category_leaf, 'top': category_top, 'price': price}} AS item FROM read_json('{raw}/catalog*');
        CREATE TABLE searches AS SELECT request_id, any_value(ts) AS ts, any_value(user_id) AS user_id,
            any_value(query) AS query, any_value(results) AS results FROM read_json('{raw}/searches*',
            columns={{request_id: 'VARCHAR', ts: 'BIGINT', user_id: 'VARCHAR', query: 'VARCHAR', results: 'VARCHAR[]'}})
            GROUP BY request_id;
        CREATE TABLE actions AS SELECT user_id, item_id, action, ts, max(request_id) AS request_id
            FROM read_json('{raw}/actions*', columns={{ts: 'BIGINT', user_id: 'VARCHAR', item_id: 'VARCHAR',
            action: 'VARCHAR', request_id: 'VARCHAR'}}) GROUP BY user_id, item_id, action, ts;
    """,
    "attribution": """
        CREATE TABLE shown AS SELECT request_id, user_id, ts, unnest(results) AS item_id,
            generate_subscripts(results, 1) AS position FROM searches;
        CREATE TABLE answers AS
            SELECT a.user_id, a.item_id, a.action, a.ts, s.request_id FROM actions a JOIN searches s
                ON a.request_id = s.request_id AND a.user_id = s.user_id AND a.ts BETWEEN s.ts - 5000 AND s.ts + {day}
            UNION ALL
            SELECT a.user_id, a.item_id, a.action, a.ts, h.request_id
                FROM (SELECT * FROM actions WHERE request_id IS NULL) a ASOF JOIN shown h
                ON a.user_id = h.user_id AND a.item_id = h.item_id AND a.ts >= h.ts WHERE a.ts - h.ts <= 1800000;
        CREATE TABLE requests AS SELECT request_id, user_id, ts, query, ts // {day} * {day} AS today FROM searches
            WHERE request_id IN (SELECT request_id FROM answers);
    """,
    "stages": """
        CREATE TABLE positives AS SELECT request_id, bool_or(action = 'order') AS ordered, item_id FROM answers
            GROUP BY request_id, item_id;
        CREATE TABLE stages AS SELECT request_id,
            list(item ORDER BY position, item_id) FILTER (ordered) [:5] AS ordered,
            list(item ORDER BY position, item_id) FILTER (NOT ordered) [:5] AS clicked,
            list(item ORDER BY position, item_id) FILTER (ordered IS NULL) [:8] AS shown,
            list(title ORDER BY position, item_id) [:18] AS titles
            FROM (SELECT * FROM shown WHERE request_id IN (SELECT request_id FROM requests)) s
            FULL JOIN positives p USING (request_id, item_id) JOIN items USING (item_id) GROUP BY request_id;
    """,
    "horizons": """
        CREATE TABLE past AS SELECT r.request_id, a.item_id, max(a.ts) AS ts, CASE
            WHEN a.ts >= r.today THEN 'realtime' WHEN a.ts >= r.today - 10 * {day} THEN 'short'
            WHEN a.action = 'cart' THEN 'collect' ELSE a.action END AS horizon
            FROM requests r JOIN actions a ON a.user_id = r.user_id AND a.ts < r.ts AND a.ts >= r.today - 30 * {day}
            GROUP BY ALL;
        CREATE TABLE horizons AS SELECT request_id,
            list(item ORDER BY ts DESC) FILTER (horizon = 'realtime') [:20] AS realtime,
            list(item ORDER BY ts DESC) FILTER (horizon = 'short') [:30] AS short,
            list(item ORDER BY ts DESC) FILTER (horizon = 'click') [:30] AS long_click,
            list(item ORDER BY ts DESC) FILTER (horizon = 'order') [:30] AS long_order,
            list(item ORDER BY ts DESC) FILTER (horizon = 'collect') [:30] AS long_collect
            FROM past JOIN items USING (item_id) GROUP BY request_id;
    """,
    "queries": """
        CREATE TABLE earlier AS SELECT request_id, list(query ORDER BY ts DESC) [:10] AS queries FROM (
            SELECT r.request_id, s.query, max(s.ts) AS ts FROM requests r JOIN searches s
            ON s.user_id = r.user_id AND s.ts < r.ts AND s.ts >= r.ts - 30 * {day} GROUP BY r.request_id, s.query)
            GROUP BY request_id;
    """,
    "write": """
        COPY (SELECT * FROM requests JOIN stages USING (request_id) LEFT JOIN horizons USING (request_id)
            LEFT JOIN earlier USING (request_id)) TO '{output}' (FORMAT parquet, COMPRESSION zstd);
    """,
}


def main(raw: str, output: str, threads: int) -> None:
    """Joins a log; prints seconds by step and how many requests came out."""
    started = time.perf_counter()
    import duckdb  # its own start-up counts, too

    database = duckdb.connect(config={"threads": threads})
    seconds = {"start": time.perf_counter() - started}
    for name, statements in _STEPS.items():
        before = time.perf_counter()
        database.execute(statements.format(raw=raw, output=output, day=_DAY))
        seconds[name] = time.perf_counter() - before
    (requests,) = database.execute("SELECT count(*) FROM requests").fetchall()[0]
    print(json.dumps({"requests": requests, "steps": {name: round(one, 2) for name, one in seconds.items()}}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
