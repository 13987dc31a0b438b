"""Every page can be found from the index, and no link leads nowhere."""

from __future__ import annotations

from pathlib import Path

from support.markdown import DOCS, ROOT, anchors, links, page_blocks, pages

LANGUAGES = {"sh", "python", "yaml", "text", "json", "mermaid", "ini", "nginx"}


def local_links(page: Path) -> list[tuple[int, Path, str]]:
    """Line, page and anchor of the links that stay in the repository."""
    found = []
    for line, target in links(page):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            found.append((line, (page.parent / path).resolve() if path else page, anchor))
    return found


def test_every_link_leads_to_a_file_and_to_a_heading_in_it() -> None:
    broken = []
    for page in pages():
        for line, target, anchor in local_links(page):
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}:{line}: {target.relative_to(ROOT)}#{anchor}")
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [target for _, target, _ in local_links(page) if target.suffix == ".md"]
    assert sorted({*pages()} - reached) == []


def test_the_index_names_every_page_of_the_documentation() -> None:
    named = {target for _, target, _ in local_links(DOCS / "README.md")}
    ours = {page for page in DOCS.rglob("*.md") if page.parent.name != "decisions" and page != DOCS / "README.md"}
    assert sorted(ours - named) == []


def test_every_block_says_what_language_it_is_in() -> None:
    every = [block for page in pages() for block in page_blocks(page) if block.text]
    assert [str(block) for block in every if block.language not in LANGUAGES] == []
