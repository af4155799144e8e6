"""A log's values as the YAML says they are meant."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.command.experiment import load_section
from preprocessing.config_input import InputConfig
from preprocessing.logs.field_rules import FieldRules
from preprocessing.logs.parse import document_loader, parser
from preprocessing.logs.records import Action, Excluded, Item, Rejected, Search

CONFIG = """
preprocessing:
  input:
    catalog:
      pattern: catalog*
      columns: {item_id: url, in_stock: state}
      extract: {item_id: "/p/([0-9]+)"}
      values: {in_stock: {1: true, 0: false, gone: false}}
      defaults: {brand: no name}
    searches:
      pattern: searches*
      columns: {results: "page[].link"}
      extract: {results: "[0-9]+$"}
      values: {results: {"7": null}}
    actions:
      pattern: actions*
      columns: {action: event}
      values: {action: {purchase: order, add_to_cart: cart, page_view: null, true: click}}
      constants: {user_id: everybody}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> InputConfig:
    path = tmp_path_factory.mktemp("config") / "shop.yaml"
    path.write_text(CONFIG)
    return load_section(str(path), "preprocessing.input", InputConfig)


def read(stream: str, config: InputConfig, **fields: Any) -> Any:
    """One line as the pipeline reads it."""
    return parser(stream, config)(document_loader(stream, config)(json.dumps(fields).encode()), "", 0, [])


@pytest.mark.parametrize(("state", "in_stock"), [(1, True), (0, False), ("gone", False), ("1", True), ("yes", True)])
def test_an_id_out_of_an_address_and_what_states_mean(config: InputConfig, state: Any, in_stock: bool) -> None:
    item = read("catalog", config, url="https://shop.example/p/17?from=mail", title="Lamp", state=state)
    assert isinstance(item, Item)
    assert (item.item_id, item.brand, item.in_stock) == ("17", "no name", in_stock)


def test_an_address_without_an_id_is_a_record_without_one(config: InputConfig) -> None:
    with pytest.raises(Rejected, match="missing item_id"):
        read("catalog", config, url="https://shop.example/help", title="Lamp")


def test_members_of_a_list_one_by_one(config: InputConfig) -> None:
    links = [{"link": "/p/3"}, {"link": "/p/7"}, {"link": "/p/21"}]
    search = read("searches", config, request_id="r", ts=1_717_200_000, user_id="u", query="lamp", page=links)
    assert isinstance(search, Search)
    assert search.results == ("3", "21")


@pytest.mark.parametrize(("event", "action"), [("purchase", "order"), ("add_to_cart", "cart"), (True, "click")])
def test_actions_by_the_shops_own_names(config: InputConfig, event: Any, action: str) -> None:
    found = read("actions", config, ts=1_717_200_000, user_id="ann", item_id="3", event=event)
    assert isinstance(found, Action)
    assert (found.action, found.user_id) == (action, "everybody")


def test_what_is_mapped_to_nothing_is_left_out_by_rule_and_what_is_not_named_is_rejected(config: InputConfig) -> None:
    with pytest.raises(Excluded, match="action left out"):
        read("actions", config, ts=1_717_200_000, item_id="3", event="page_view")
    with pytest.raises(Rejected, match="unknown action"):
        read("actions", config, ts=1_717_200_000, item_id="3", event="wishlist")


def test_the_config_survives_being_written_down(config: InputConfig) -> None:
    again = InputConfig.model_validate(json.loads(config.model_dump_json()))
    assert again == config


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda one: st.lists(one, max_size=3)
)


@given(st.dictionaries(st.sampled_from("ab"), JSON), st.dictionaries(st.text(max_size=3), st.text(max_size=2)))
def test_no_value_breaks_a_rule_and_only_named_fields_change(
    document: dict[str, Any], meanings: dict[str, str]
) -> None:
    rules = FieldRules({"a": re.compile("[0-9]")}, {"a": meanings}, {"a": "nothing"}, {})
    changed = rules(document | {"c": 1})
    assert changed["a"] is not None
    assert {name: value for name, value in changed.items() if name != "a"} == {
        name: value for name, value in (document | {"c": 1}).items() if name != "a"
    }


@given(st.dictionaries(st.sampled_from("ab"), JSON))
def test_constants_are_there_whatever_a_record_has(document: dict[str, Any]) -> None:
    assert FieldRules({}, {}, {"a": 1}, {"a": 2})(document) == document | {"a": 2}


def test_a_mistake_in_the_rules_names_the_field(tmp_path: Path) -> None:
    for part, says in (
        ("extract: {item: x}", "unknown field 'item'; did you mean 'item_id'"),
        ('extract: {item_id: "(a)(b)"}', "extract.item_id: 2 groups"),
        ('extract: {item_id: "("}', "regular expression"),
        ("values: {actoin: {a: click}}", "did you mean 'action'"),
    ):
        path = tmp_path / "shop.yaml"
        path.write_text(f"preprocessing: {{input: {{actions: {{pattern: x, {part}}}}}}}")
        with pytest.raises(Exception, match=re.escape(says)):
            load_section(str(path), "preprocessing.input", InputConfig)
