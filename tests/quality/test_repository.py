"""What must not be in the repository."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Spelled with groups, so that this file does not match itself.
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:w)ork/|(?<![\w.])/(?:r)oot/|/(?:h)ome/[a-z]|/(?:U)sers/[A-Za-z]|[A-Z]:\\(?:U)sers"
)
REGISTRY_HOST = re.compile(r"(?:p)ypi\.org|(?:p)ythonhosted\.org|(?:r)egistry\.(?:n)pmjs|(?:r)egistry\.(?:y)arnpkg")
PIP_ADDRESS = re.compile(r"^\s*(--(index-url|extra-index-url|find-links|trusted-host)|-[if]\s)|https?://", re.MULTILINE)
SUPPRESSION = re.compile(r"#\s*type:\s*(?:i)gnore|#\s*pragma: (?:n)o cover")


def tracked_files() -> list[Path]:
    """Every text file that git tracks."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git checkout: nothing tells which files belong to the repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def matches(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """``file:line: match`` of everything found."""
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {match.group()}")
    return found


def python_files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts)


def test_no_file_names_a_path_of_somebody_s_machine() -> None:
    assert matches(MACHINE_PATH, tracked_files()) == []


def test_no_file_but_prose_names_a_registry() -> None:
    assert matches(REGISTRY_HOST, [path for path in tracked_files() if path.suffix != ".md"]) == []


def test_pinned_requirements_carry_hashes_and_no_address() -> None:
    pinned = sorted((ROOT / "requirements").glob("*.txt"))
    assert [path.name for path in pinned] == ["base.txt", "dev.txt", "server.txt"]
    assert matches(PIP_ADDRESS, pinned) == []
    for path in pinned:
        entries = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip())
        assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_the_development_requirements_hold_the_service_s_unchanged() -> None:
    server, dev = (set((ROOT / f"requirements/{name}.txt").read_text().splitlines()) for name in ("server", "dev"))
    assert server - dev == set()


def test_source_suppresses_no_type_error_and_no_coverage() -> None:
    assert matches(SUPPRESSION, python_files("src")) == []


def test_source_never_says_any() -> None:
    found = []
    for path in python_files("src"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
            attribute = isinstance(node, ast.Attribute) and node.attr == "Any"
            if "Any" in names or attribute:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_no_test_sleeps_for_time_to_pass() -> None:
    found = []
    for path in python_files("tests"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = isinstance(node, ast.ImportFrom) and node.module == "time"
            imported = imported and any(alias.name == "sleep" for alias in node.names)
            called = isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep"
            if imported or called:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
