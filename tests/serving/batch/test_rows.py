"""What of an item its vector hangs on."""

from __future__ import annotations

from typing import Any

import pytest

from serving.batch.rows import ItemRow

ITEM: dict[str, Any] = {"item_id": "i", "title": "red sofa", "brand": "acme", "category_leaf": "sofas", "price": 20}


@pytest.mark.parametrize("vocabularies, counts", [({"word", "item"}, False), ({"word", "price"}, True)])
def test_a_new_price_is_another_item_only_where_towers_read_prices(vocabularies: set[str], counts: bool) -> None:
    read = ItemRow({"vocabularies": vocabularies})
    before, after, without = (read(ITEM | {"price": price}) for price in (20, 21, None))
    assert (before.values[-1] == 20) is counts
    assert (before.content != after.content) is counts
    assert (before.content != without.content) is counts
    assert read(ITEM | {"title": "blue sofa"}).content != before.content
    assert read(ITEM | {"price": "20.0"}).content == before.content
    assert read(ITEM | {"price": float("nan")}).content == without.content
