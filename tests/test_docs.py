"""The README and the pages in docs/ agree with each other and with the repository."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.runbook import PAGE, TEXTS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
MAX_README_LINES = 200
MAX_LINE_LENGTH = 120
MAX_GLOSSARY_TERMS = 20
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH_IN_REPOSITORY = re.compile(r"`([a-z_]+/[a-z_/]*(?:[a-z_]+\.py)?)`")


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def local_links(page: Path) -> Iterator[tuple[Path, str]]:
    for link in LINK.findall(page.read_text()):
        if not link.startswith(("https:", "http:", "mailto:")):
            file, _, anchor = link.partition("#")
            yield (page.parent / file).resolve() if file else page, anchor


def test_the_readme_is_short_and_fits_on_a_screen() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= MAX_README_LINES
    assert [line for line in lines if len(line) > MAX_LINE_LENGTH and not line.startswith("|")] == []


def test_the_readme_links_to_every_page() -> None:
    assert {ROOT / "docs" / page.name for page in PAGES[2:]} <= {file for file, _ in local_links(README)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for file, anchor in local_links(page):
        assert file.exists(), file
        assert not anchor or anchor in headings(file), f"{file}#{anchor}"


def test_every_path_in_the_architecture_exists() -> None:
    paths = PATH_IN_REPOSITORY.findall((ROOT / "docs" / "architecture.md").read_text())
    assert len(paths) > 30
    packages = ("", "worker", "devtools", "meetergo", "operations", "console", "dashboard", "read_api")
    assert not [path for path in paths if not any((ROOT / package / path).exists() for package in packages)]


def test_the_glossary_is_short() -> None:
    glossary = (ROOT / "docs" / "architecture.md").read_text().partition("## Glossary")[2].partition("\n## ")[0]
    terms = re.findall(r"^\| (\w+) \|", glossary, re.MULTILINE)[1:]
    assert 0 < len(terms) <= MAX_GLOSSARY_TERMS


def test_the_operations_page_has_the_texts_of_the_runbook() -> None:
    page = PAGE.read_text()
    assert [name for name, (text, _, _) in TEXTS.items() if text not in page] == []
