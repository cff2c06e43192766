"""A chain as one SVG: a box a stage in the order of the plan, a lane an artifact from its writer to its readers."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from kubetune.provenance.chain import Link
from kubetune.provenance.lineage_text import SHORT, measured

LEFT, WIDTH, GAP, ROW, PAD, LANE, BEND = 8, 640, 18, 19, 12, 24, 7
MOST_CHARACTERS = 46
COLOURS = ("#1f77b4", "#d9730d", "#2a9d4f", "#c0392b", "#8e5cc4", "#8c6239", "#c2488f", "#6b7f1e", "#0f93a5")


@dataclass(frozen=True)
class Port:
    """Where an artifact enters or leaves a box.

    Attributes:
        artifact: Its name.
        digest: Digest of its file list, hex.
        writes: Whether the stage writes it.
        y: Height of the port in the picture, pixels.
    """

    artifact: str
    digest: str
    writes: bool
    y: int


@dataclass(frozen=True)
class Box:
    """A stage in the picture; `lines` are its texts below the name."""

    link: Link
    top: int
    height: int
    lines: tuple[str, ...]
    ports: tuple[Port, ...]


def picture(chain: Sequence[Link]) -> str:
    """Return the SVG; all text in it is escaped."""
    boxes = placed(chain)
    lanes = lanes_of(boxes)
    right = LEFT + WIDTH + LANE * (max(lanes.values(), default=0) + 2)
    bottom = boxes[-1].top + boxes[-1].height + LEFT
    names = ", ".join(link.stage for link in chain)
    return "\n".join(
        [
            f'<svg viewBox="0 0 {right} {bottom}" width="{right}" role="img" aria-labelledby="lineage-title">',
            f'<title id="lineage-title">Stages and artifacts: {escape(names)}</title>',
            *(drawn_box(box) for box in boxes),
            *drawn_lanes(boxes, lanes),
            "</svg>",
        ]
    )


def placed(chain: Sequence[Link]) -> list[Box]:
    """Return the boxes, one below the other."""
    boxes, top = [], LEFT
    for link in chain:
        lines = lines_of(link)
        named = [(name, digest, False) for name, digest in sorted(link.read.items())]
        named += [(name, digest, True) for name, digest in sorted(link.outputs.items())]
        ports = tuple(Port(*port, y=top + PAD + ROW * row + ROW // 2) for row, port in enumerate(named))
        height = 2 * PAD + ROW * max(len(ports), 1 + len(lines))
        boxes.append(Box(link, top, height, lines, ports))
        top += height + GAP
    return boxes


def lines_of(link: Link) -> tuple[str, ...]:
    """Return what stands in a box below the stage's name, folded so that it cannot run into the ports."""
    found = [f"key {link.key[:SHORT]}, code {link.code[:SHORT]}"]
    if link.identity:
        found.append(f"outside: {link.identity}")
    if link.metrics:
        found.append(measured(link.metrics, 3))
    found += link.stopped
    if link.image:
        found.append(f"image {link.image.removeprefix('sha256:')[:SHORT]}")
    return tuple(line for text in found for line in textwrap.wrap(text, MOST_CHARACTERS))


def lanes_of(boxes: Sequence[Box]) -> dict[str, int]:
    """Return the lane of each artifact that is read; a lane is used again below the last reader."""
    spans: dict[str, tuple[int, int]] = {}
    for row, box in enumerate(boxes):
        for port in box.ports:
            first = spans[port.artifact][0] if port.artifact in spans else row
            if port.writes or port.artifact in spans:
                spans[port.artifact] = (first, row)
    lanes: dict[str, int] = {}
    free_from: list[int] = []
    for name, (first, last) in sorted(spans.items(), key=lambda item: (item[1][0], item[1][1], item[0])):
        if first == last:
            continue
        lane = next((number for number, row in enumerate(free_from) if row < first), len(free_from))
        free_from[lane : lane + 1] = [last]
        lanes[name] = lane
    return lanes


def drawn_box(box: Box) -> str:
    """Return one stage."""
    x, y = LEFT + PAD, box.top + PAD + ROW - 5
    refused = " refused" if box.link.stopped else ""
    parts = [
        f'<rect class="stage{refused}" x="{LEFT}" y="{box.top}" width="{WIDTH}" height="{box.height}" rx="7"/>',
        f'<text class="name" x="{x}" y="{y}">{escape(box.link.stage)}</text>',
    ]
    for row, line in enumerate(box.lines, 1):
        parts.append(f'<text class="fact" x="{x}" y="{y + ROW * row}">{escape(line)}</text>')
    for port in box.ports:
        verb = "writes" if port.writes else "reads"
        shown = f"{verb} {port.artifact} {port.digest[:SHORT]}"
        parts.append(
            f'<text class="port" x="{LEFT + WIDTH - PAD}" y="{port.y + 4}" text-anchor="end">{escape(shown)}'
            f"<title>{escape(port.digest)}</title></text>"
        )
    return "\n".join(parts)


def drawn_lanes(boxes: Sequence[Box], lanes: dict[str, int]) -> list[str]:
    """Return lines from each writer to its readers."""
    edge = LEFT + WIDTH
    writers = {port.artifact: port for box in boxes for port in box.ports if port.writes}
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(writers)}
    parts = []
    for port in (port for box in boxes for port in box.ports):
        if port.writes:
            parts.append(f'<circle cx="{edge}" cy="{port.y}" r="4.5" fill="{colours[port.artifact]}"/>')
            continue
        tip = f"M {edge + 9} {port.y - 4} L {edge + 1} {port.y} L {edge + 9} {port.y + 4} Z"
        if port.artifact not in lanes:
            parts.append(f'<path class="outside" d="M {edge + LANE} {port.y} H {edge + 8}"/>')
            parts.append(f'<path class="tip" d="{tip}"/>')
            continue
        x, start, colour = edge + LANE * (lanes[port.artifact] + 1), writers[port.artifact].y, colours[port.artifact]
        way = (
            f"M {edge} {start} H {x - BEND} Q {x} {start} {x} {start + BEND} "
            f"V {port.y - BEND} Q {x} {port.y} {x - BEND} {port.y} H {edge + 8}"
        )
        parts.append(f'<path d="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<path d="{tip}" fill="{colour}"/>')
    return parts
