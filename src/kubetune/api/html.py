"""Tables and pages in a notebook's cell. Every text is escaped: labels and paths are other people's words."""

from collections.abc import Sequence
from html import escape


def table_html(headings: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return an HTML table.

    Args:
        headings: Texts of the head.
        rows: Texts, as many a row as headings.
        caption: One line above it; empty: none.
    """
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def frame_html(page: str, height: int) -> str:
    """Return a whole page in a frame of its own, whose styles and links do not touch the notebook.

    Args:
        page: HTML document.
        height: Pixels.
    """
    style = f"width:100%;height:{height}px;border:0"
    return f'<iframe srcdoc="{escape(page)}" sandbox="allow-popups" style="{style}"></iframe>'
