"""Whatever stands in a file, the answer is settings or a ``ConfigError``."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from roombell.config import Keys, parse
from roombell.errors import ConfigError

NAMES = st.sampled_from(
    ("keys", "port", "webhook", "urls", "api_key", "endpoints", "name", "url", "retry", "rooms", "headers", "limits",
     "store", "retention", "timeout", "rtc", "<<", "filter_params", "include_events", "body_bytes_max", "attempts")
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(("15s", "https://a.test/"))
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=20
)
YAML_PIECES = st.lists(
    st.sampled_from(("keys", ": ", "a", "\n", "  ", "- ", "*a", "&a ", "!!x ", "{", "}", "[", "]", ",", "'", '"', "|", ">", "#", "<<", "? ", "---", "%", "\t", "\\", "\x85", "\ufeff", "1")),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.text() | YAML_PIECES)
@example('"\\UFFFFFFFF"')
@example("=")
@example("a: =")
@example("<<")
@example("? - a\n: b")
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    for environ in ({}, {"LIVEKIT_KEYS": text}, {"ROOMBELL_PORT": text}, {"ROOMBELL_STORE": text}):
        with suppress(ConfigError):
            parse(text, source="c.yaml", environ=environ)


@given(TREES)
@settings(max_examples=300)
def test_no_tree_of_values_raises_anything_but_a_config_error(tree: object) -> None:
    with suppress(ConfigError):
        parse(json.dumps(tree), source="c.yaml", environ={"LIVEKIT_KEYS": "a: b"})


def quoted(text: str) -> str:
    """A double-quoted YAML scalar."""
    return json.dumps(text, ensure_ascii=False)


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=40)


@given(st.dictionaries(PRINTABLE, PRINTABLE, min_size=1, max_size=5))
def test_every_secret_comes_out_as_it_was_written(secrets: dict[str, str]) -> None:
    text = "keys:\n" + "".join(f"  {quoted(name)}: {quoted(secret)}\n" for name, secret in secrets.items())
    assert parse(text, source="c.yaml", environ={}).keys == Keys(secrets)
