"""Where later stages put sections of their own into the report."""

from kubetune.errors import KubetuneError

CONTENTS = "<!-- further contents -->"
SECTIONS = "<!-- further sections -->"
"""Marks in `report.html.j2`; text of the data is escaped, so it never holds one."""


def insert(page: str, contents: str, sections: str) -> str:
    """Return the page with further entries of its table of contents, and further sections.

    Args:
        page: `report.html`.
        contents: `<li>` elements.
        sections: `<section>` elements.

    Raises:
        KubetuneError: The page has no single place for them.
    """
    for mark, addition in ((CONTENTS, contents), (SECTIONS, sections)):
        before, found, after = page.partition(mark)
        if not found or mark in after:
            raise KubetuneError("report.html has no place for further sections: evaluate the run again.")
        page = before + addition + after
    return page
