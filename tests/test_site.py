"""`make docs`: the pages and the reference of the public names are built whole, offline; what is missing stops it."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import labelbeam as lb

ROOT = Path(__file__).resolve().parent.parent
pytest.importorskip("mkdocs", reason="needs the extra docs")


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_is_built_with_every_page_and_every_public_name(tmp_path, monkeypatch) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    for page in (ROOT / "docs").glob("*.md"):
        assert (tmp_path / page.stem / "index.html").is_file()
    shown = (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'id="labelbeam\.(?:\w+\.)+(\w+)"', shown))
    assert {*lb.__all__} - {"__version__"} <= named
    fetched = re.findall(r'(?:src|href)="(https?://[^"]*\.(?:css|js|woff2?))"', shown)
    assert fetched == []  # a site that is read offline


def test_a_public_name_without_docstring_stops_the_build(site, monkeypatch) -> None:
    from mkdocs.exceptions import PluginError

    monkeypatch.setattr(site, "public_names", lambda: {"HEADS": "labelbeam.heads.registry"})
    with pytest.raises(PluginError, match=r"labelbeam\.HEADS has no docstring"):
        site.reference()


def test_links_lead_where_pages_are_on_the_site(site) -> None:
    class Page:
        def __init__(self, name: str) -> None:
            self.file = type("File", (), {"src_uri": name})()

    def moved(at: str, link: str) -> str:
        return site.on_page_markdown(f"[x]({link})", Page(at), None, None)[3:].strip("()")

    assert moved("index.md", "docs/data.md") == "data.md"
    assert moved("data.md", "../README.md") == "index.md"
    assert moved("data.md", "../research/rivals.md#a") == "research/rivals.md#a"
    assert moved("research/rivals.md", "../docs/data.md") == "../data.md"
    assert moved("index.md", "examples") == "examples/index.md"
    assert moved("index.md", "https://pypi.org") == "https://pypi.org"
