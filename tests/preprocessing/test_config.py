"""The config at the door: typed, frozen, strict about names, clear about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from preprocessing.command.console import UserError
from preprocessing.command.experiment import load_section, resolved_yaml
from preprocessing.config import PreprocessingConfig, join_path

ROOT = Path(__file__).resolve().parents[2]


def load(folder: Path, text: str, *overrides: str) -> PreprocessingConfig:
    path = folder / "c.yaml"
    path.write_text(text)
    return load_section(str(path), "preprocessing", PreprocessingConfig, overrides)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == PreprocessingConfig()


def test_overrides_are_read_as_yaml(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "preprocessing: {seed: 3, history: {short: 7}}",
        "preprocessing.history.long=9",
        "preprocessing.text.title_grains=[word, trigram]",
        "preprocessing.input.catalog=null",
        "trainer.rate=0.1",
    )
    assert (config.seed, config.history.short, config.history.long) == (3, 7, 9)
    assert config.text.title_grains == ("word", "trigram")
    assert config.text.grains == ("char", "bigram", "word", "trigram")
    assert config.input.catalog is None


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("preprocesing: {}", [], "unknown section 'preprocesing'; did you mean 'preprocessing'"),
        ("preprocessing: {sed: 1}", [], "unknown key 'preprocessing.sed'; did you mean 'seed'"),
        ("preprocessing: {history: {shrt: 1}}", [], "'preprocessing.history.shrt'; did you mean 'short'"),
        ("preprocessing: {input: {searches: {patern: x}}}", [], "did you mean 'pattern'"),
        ("preprocessing: {input: {catalog: {pattern: x, colums: {}}}}", [], "did you mean 'columns'"),
        (
            "preprocessing: {input: {actions: {pattern: x, columns: {usr_id: u}}}}",
            [],
            "actions.columns: unknown field 'usr_id'; did you mean 'user_id'",
        ),
        (
            "preprocessing: {input: {catalog: {pattern: x, columns: {sku: i}}}}",
            [],
            "field 'sku'; known here: item_id",
        ),
        (
            "preprocessing: {vocabularies: {item: {max_size: 2000000, hash_buckets: 2147483647}}}",
            [],
            r"hash_buckets \(2,147,483,647\) are together more than the 2,147,483,647 ids that there can be",
        ),
        ("preprocessing: {vocabularies: {wrod: {max_size: 1}}}", [], "did you mean 'word'"),
        ("preprocessing: {seed: many}", [], "preprocessing.seed: .*got 'many'"),
        ("preprocessing: {history: {short: -1}}", [], "preprocessing.history.short"),
        ("preprocessing: {history: {long_days: 5}}", [], r"long_days \(5\) must reach further back"),
        ("preprocessing: {split: {eval_share: 0.1}}", [], "one of eval_days and eval_share"),
        ("preprocessing: {text: {query_grains: [char]}}", [], "query_grains must hold 'word'"),
        ("preprocessing: {text: {title_grains: [word, letter]}}", [], "title_grains"),
        ("preprocessing: {input: {catalog: {pattern: c, columns: {vector: v}}}}", [], "say in vector_width"),
        ("[1, 2]", [], "expected sections"),
        ("a: [", [], "not valid YAML"),
        ("", ["preprocessing.seed"], "expected section.key=value"),
        ("", ["seed=1"], "unknown section 'seed'"),
        ("", ["preprocessing..seed=1"], "expected section.key=value"),
        ("", ["preprocessing.seed=[1"], "not a YAML value"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path, text, *overrides)
    assert "\n" not in str(error.value).strip()


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"nowhere.yaml: no such config"):
        load_section("nowhere.yaml", "preprocessing", PreprocessingConfig)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configs_load_and_their_resolved_form_reloads(path: Path, tmp_path: Path) -> None:
    config = load_section(str(path), "preprocessing", PreprocessingConfig)
    assert load(tmp_path, resolved_yaml("preprocessing", config)) == config


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        PreprocessingConfig().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("catalog*", "raw/catalog*"), ("/data/catalog*", "/data/catalog*"), ("gs://b/c*", "gs://b/c*")],
)
def test_patterns_lie_below_the_input_unless_they_are_paths(pattern: str, expected: str) -> None:
    assert join_path("raw", pattern) == expected


def test_a_mistake_is_told_where_it_was_made(tmp_path: Path) -> None:
    good, bad = "preprocessing.history.long=9", "preprocessing.history={shrt: 1}"
    with pytest.raises(UserError, match=r"^--set preprocessing\.history=\{shrt: 1\}: unknown key"):
        load(tmp_path, "", good, bad)
    with pytest.raises(UserError, match=r"c\.yaml: preprocessing\.seed: .*got 'many'"):
        load(tmp_path, "preprocessing: {seed: many}", good)
