"""The configuration file and the environment as typed settings.

One YAML file, LiveKit server's own among them, and a few environment variables; ``reference_markdown()`` lists all of
it. Every error names the file, the line, the setting and what was expected, and none shows a secret.
"""

from roombell.config.reading import DEV_KEYS, dev_settings, load, parse
from roombell.config.reference import ENVIRONMENT, REFERENCE, Setting, reference_markdown
from roombell.settings import (
    PORT_DEFAULT,
    EndpointSettings,
    Keys,
    LimitSettings,
    Role,
    Settings,
    StoreKind,
    StoreSettings,
    name_of_url,
)

__all__ = [
    "DEV_KEYS",
    "ENVIRONMENT",
    "PORT_DEFAULT",
    "REFERENCE",
    "EndpointSettings",
    "Keys",
    "LimitSettings",
    "Role",
    "Setting",
    "Settings",
    "StoreKind",
    "StoreSettings",
    "dev_settings",
    "load",
    "name_of_url",
    "parse",
    "reference_markdown",
]
