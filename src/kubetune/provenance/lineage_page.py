"""A lineage as one HTML file that needs nothing else: the picture, and all digests in full below it."""

from collections.abc import Iterable, Sequence
from html import escape

from kubetune.provenance.chain import Link
from kubetune.provenance.lineage_picture import picture

STYLE = """
:root { color-scheme: light dark; --page: #fff; --panel: #f5f7f9; --text: #16202a; --muted: #566472; --line: #c5ced7;
  --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #11161c; --panel: #1a2129; --text: #e6ebf0; --muted: #9fb0c0;
  --line: #43505d; --bad: #ff8f86; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 4rem; max-width: 64rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
.lead { color: var(--muted); margin: .2rem 0 1.2rem; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; font: 13px system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
svg .stage { fill: var(--panel); stroke: var(--line); } svg .refused { stroke: var(--bad); stroke-width: 2; }
svg text { fill: var(--text); } svg .name { font-size: 15px; font-weight: 650; } svg .fact { fill: var(--muted); }
svg .outside { stroke: var(--muted); stroke-width: 2; stroke-dasharray: 4 3; } svg .tip { fill: var(--muted); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); }
code { font-size: .8rem; }
"""


def page(chain: Sequence[Link], title: str, lead: str) -> str:
    """Return the page.

    Args:
        chain: Links, sources first.
        title: Heading.
        lead: One line below it.
    """
    artifacts = [(name, link.stage, digest) for link in chain for name, digest in sorted(link.outputs.items())]
    stages = [(link.stage, link.key, link.code, link.recipe) for link in chain]
    places = [(link.stage, link.image or "-", *_lock(link), link.identity or "-") for link in chain]
    measured = [(link.stage, name, f"{value:.6g}") for link in chain for name, value in sorted(link.metrics.items())]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>',
        picture(chain),
        html_table("Artifacts", ("artifact", "written by", "digest of its file list"), artifacts),
        html_table("Keys", ("stage", "key", "code", "recipe values"), stages),
        html_table("Where it ran and what it read", ("stage", "image", "lock", "outside"), places),
        html_table("Measured", ("stage", "metric", "value"), measured) if measured else "",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def html_table(heading: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table under its heading."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "\n".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f'<h2>{escape(heading)}</h2><div class="wide"><table><tr>{head}</tr>\n{body}\n</table></div>'


def _cell(value: str) -> str:
    return f"<code>{escape(value)}</code>" if len(value) >= 40 else escape(value)


def _lock(link: Link) -> tuple[str]:
    return (", ".join(f"{name} {digest}" for name, digest in sorted(link.locks.items())) or "-",)
