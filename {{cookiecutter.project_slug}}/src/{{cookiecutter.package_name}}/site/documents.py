"""The project's Markdown documents as pages of the site."""

import posixpath
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token


def to_html(text: str, place: str, pages: dict[str, str], code_url: str | None) -> str:
    """Convert a document to HTML, with links that work on the site.

    Args:
        text: Markdown; HTML in it is shown as text.
        place: the document's path in the repository, to which its links are relative.
        pages: files of the repository that are on the site, and where.
        code_url: where the repository's other files can be read; None leaves their names as text.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        if token.type == "table_open":
            token.attrSet("tabindex", "0")  # a wide one can be scrolled by keyboard, too
        if token.children:
            token.children = list(_relinked(token.children, place, pages, code_url))
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    return html


def _relinked(
    tokens: list[Token], place: str, pages: dict[str, str], code_url: str | None
) -> Iterator[Token]:
    is_dead = False
    for token in tokens:
        attribute = {"link_open": "href", "image": "src"}.get(token.type)
        if attribute and ":" not in (link := str(token.attrGet(attribute))):
            path, _, fragment = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
            url = pages.get(target) or (code_url and f"{code_url}/{target}")
            is_dead = url is None
            token.attrSet(attribute, f"{url}#{fragment}" if fragment else str(url))
        if not (is_dead and token.type in ("link_open", "link_close")):
            yield token
        is_dead = is_dead and token.type != "link_close"
