"""What is said where a framework's module is imported and the framework is not installed."""

from __future__ import annotations

from roombell.errors import UsageError


def missing(framework: str, error: ImportError) -> UsageError:
    """The error to raise in the import error's stead."""
    package = framework.lower()
    return UsageError(
        f"`roombell.receiver.{package}` is for applications that use {framework}, and it cannot be imported ({error}). "
        f"Install it with: pip install {package}"
    )
