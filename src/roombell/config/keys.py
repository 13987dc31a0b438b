"""API keys, from the file, the environment and a key file, put together as LiveKit server does.

Source: livekit-server, ``cmd/server/main.go`` and ``pkg/config/config.go``: ``LIVEKIT_KEYS`` replaces the file's
``keys``, and the key file's pairs are laid over either. ``LIVEKIT_API_KEY`` with ``LIVEKIT_API_SECRET`` is the SDKs'
way to name one key; it is laid over all. No message here shows a secret, nor a value that stands where one may.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from roombell.config.document import TEXT_BYTES_MAX, Section, Value, read_document, text_value
from roombell.errors import ConfigError
from roombell.settings import Keys

SECRET_CHARS_ADVISED: Final = 32
"""LiveKit server complains about shorter secrets."""

_KEYS_FORM: Final = 'it is "key: secret", one pair a line, with the space'


def read_keys(top: Section, environ: Mapping[str, str], default: Keys) -> Keys:
    """All keys there are, ``default`` where none is given.

    :raises ConfigError: a pair is malformed, or the key file cannot be read or is open to others, or there is no key.
    """
    secrets = _from_environment(environ)
    if secrets is None:
        value = top.get("keys")
        secrets = _secrets(value) if value is not None else {}
    secrets |= _from_key_file(top.get("key_file"), environ)
    secrets |= _single_pair(environ)
    if not secrets and not default:
        source = top.value.origin.source
        unread = "" if source else " (no configuration file was named: --config does; --dev needs none)"
        raise ConfigError(
            "no API key is given: write keys: {APIabc: secret}, name a key_file, or set LIVEKIT_KEYS, "
            f"or LIVEKIT_API_KEY and LIVEKIT_API_SECRET{unread}",
            source=source,
            key="keys",
        )
    return Keys(secrets) if secrets else default


def weak_keys(keys: Keys) -> tuple[str, ...]:
    """The names of keys whose secrets are shorter than LiveKit advises."""
    return tuple(name for name, secret in keys.items() if len(secret) < SECRET_CHARS_ADVISED)


def read_text(path: Path, *, setting: str = "") -> str:
    """A configuration file's text.

    :raises ConfigError: it cannot be read, is too long or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(TEXT_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"the file cannot be read: {error.strerror}", source=str(path), key=setting) from None
    except ValueError:
        raise ConfigError("this is no path of a file", source=ascii(str(path)), key=setting) from None
    if len(raw) > TEXT_BYTES_MAX:
        raise ConfigError(f"the file is larger than {TEXT_BYTES_MAX:,} bytes", source=str(path), key=setting)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("the file is not UTF-8 here", source=str(path), line=line, key=setting) from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, str] | None:
    text = environ.get("LIVEKIT_KEYS", "")
    if not text.strip():
        return None
    return _secrets(read_document(text, "LIVEKIT_KEYS"))


def _single_pair(environ: Mapping[str, str]) -> dict[str, str]:
    api_key, secret = environ.get("LIVEKIT_API_KEY", ""), environ.get("LIVEKIT_API_SECRET", "")
    if bool(api_key) != bool(secret):
        given, missing = ("KEY", "SECRET") if api_key else ("SECRET", "KEY")
        raise ConfigError(f"LIVEKIT_API_{missing} is missing: the two go together", source=f"LIVEKIT_API_{given}")
    if not api_key:
        return {}
    return {_key_name(text_value(api_key, "LIVEKIT_API_KEY")): text_value(secret, "LIVEKIT_API_SECRET").text()}


def _from_key_file(value: Value | None, environ: Mapping[str, str]) -> dict[str, str]:
    named = environ.get("LIVEKIT_KEY_FILE", "") or (value.text() if value is not None else "")
    if not named:
        return {}
    path = Path(_expanded(named, environ))
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        mode = 0  # what is wrong with it is told by reading it
    if mode & stat.S_IRWXO:
        raise ConfigError(f"others may read or change the key file: chmod 600 {path}", source=str(path), key="key_file")
    return _secrets(read_document(read_text(path, setting="key_file"), str(path)))


def _secrets(value: Value) -> dict[str, str]:
    secrets = {}
    if not value.is_section:
        raise value.error(f"expected API keys with their secrets; {_KEYS_FORM}")
    for api_key, secret in value.pairs():
        if not secret.is_text and ":" in api_key:
            raise secret.error(_KEYS_FORM)
        if not secret.is_text:
            raise secret.error("expected the secret as text; a secret with special characters needs quotes")
        secrets[_key_name(text_value(api_key, value.origin.source))] = secret.text()
    return secrets


def _key_name(value: Value) -> str:
    name = value.text()
    if not name.isprintable():
        raise value.error("the name of an API key holds a line break or another character that cannot be shown")
    return name


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    """``~`` and ``$NAME`` or ``${NAME}``, as LiveKit server expands them."""

    def variable(match: re.Match[str]) -> str:
        return environ.get(match[1] or match[2], "")

    path = re.sub(r"\$(?:(\w+)|\{(\w+)\})", variable, path)
    if path == "~" or path.startswith("~/"):
        return environ.get("HOME", os.sep) + path[1:]
    return path
