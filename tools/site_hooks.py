"""Hooks of mkdocs.yml: the pages at the root of the repository, and links that leave docs/.

Links are written for GitHub, relative to the file.
On the site the root pages lie beside the folders of docs/.
Every other file of the repository is not part of the site, so a link to it leads to the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: README.md becomes the site's first page.
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
EXTERNAL = re.compile(r"[a-z]+:|#")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name in ROOT_PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    name = page.file.src_uri
    folder = (ROOT / name if name in ROOT_PAGES else ROOT / "docs" / name).parent
    repository = config.extra["repository"]

    def on_site(link: re.Match[str]) -> str:
        path, _, anchor = link[2].partition("#")
        if EXTERNAL.match(link[2]) or not (folder / path).exists():
            # What is not there stays as it is: mkdocs then names it.
            return link[0]
        target = (folder / path).resolve().relative_to(ROOT).as_posix()
        if target not in ROOT_PAGES and not target.startswith("docs/"):
            return f"{link[1]}{repository}/blob/main/{target}{link[3]}"
        site = os.path.relpath(target.removeprefix("docs/"), Path(name).parent)
        return f"{link[1]}{site}{'#' + anchor if anchor else ''}{link[3]}"

    return LINK.sub(on_site, markdown)
