"""The page: all of it in one file, nothing in it runs, and nothing of a caller's gets out of its place."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

pytest.importorskip("duckdb")

from doorward.audit.reading.page import page
from doorward.audit.reading.plots import Series, plot
from doorward.audit.reading.report import Caller, Loop, Report, Slice

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>",
    "]]><!--",
    "&lt;b&gt;",
    "\u202egnp.exe",
    "\x00\x1b[31m\ud800",
    "http://evil.example/",
]


def report(name: str = "read", *, slices: int = 30) -> Report:
    caller = Caller("https://as", name, name, 9, 3, 1, 3, 2, 1, 5, 1.5, 20.25, "2027-01-15T08:00:00.000Z", name)
    return Report(
        files=2,
        size=10_000,
        calls=9,
        denials=3,
        clients=1,
        tools=1,
        unreadable=1,
        unknown_outcomes=2,
        first_seen="2027-01-15T08:00:00.000Z",
        last_seen="2027-01-15T09:00:00.000Z",
        p50_ms=1.5,
        p99_ms=2000.0,
        results={"success": 6, name: 3},
        callers=[caller],
        loops=[Loop(name, name, name, 5, name, name)],
        slice_seconds=60,
        slices=[
            Slice(1_800_000_000 + 60 * number, number, 1, 0, 0, 0, 1, 0, None if number % 7 == 3 else number / 2, 5.0)
            for number in range(1, slices + 1)
        ],
    )


class Reader(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_a_name(name: str) -> None:
    plain, evil = Reader(page(report(), title="audit.jsonl")), Reader(page(report(name), title=name))
    assert evil.tags == plain.tags
    assert [key for key, _ in evil.attributes] == [key for key, _ in plain.attributes]
    page(report(name), title=name).encode("utf-8")
    if name.isprintable():
        assert evil.text.count(name) >= 5
    else:
        assert not set(name) & set("\u202e\x00\x1b\ud800") & set(evil.text)


def test_nothing_is_fetched_and_nothing_runs() -> None:
    made = Reader(page(report(), title="audit.jsonl"))
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "a"} & set(made.tags)
    assert not [key for key, _ in made.attributes if key in ("src", "href", "srcset", "action") or key.startswith("on")]
    policy = dict(made.attributes)["content"] or ""
    assert "default-src 'none'" in "".join(value or "" for _, value in made.attributes)
    assert "url(" not in made.text
    assert policy


def test_it_says_what_was_counted() -> None:
    text = Reader(page(report(), title="audit.jsonl")).text
    for said in ("33.3% of all", "2 s", "Calls per minute", "1 lines could not be read", "2 intents have no call"):
        assert said in text


def test_a_report_of_nothing_is_a_page_too() -> None:
    nothing = Report(1, 10, 0, 0, 0, 0, 0, 0, None, None, None, None)
    assert "no calls" in Reader(page(nothing, title="audit.jsonl")).text


def svg_of(figure: str) -> ElementTree.Element:
    return ElementTree.fromstring(re.sub(r"^.*?(<svg.*</svg>).*$", r"\1", figure, flags=re.DOTALL))  # noqa: S314 - our own


@pytest.mark.parametrize("count", [1, 2, 90, 800])
@pytest.mark.parametrize("step", [1, 60, 3600, 86_400, 28 * 86_400])
def test_a_plot_stays_within_its_frame(count: int, step: int) -> None:
    starts = [1_800_000_000 // step * step + step * number for number in range(count)]
    bars = Series("bars", "good", [float(number % 13) for number in range(count)])
    line = Series("line", "high", [None if number % 5 == 4 else number * 7.0 for number in range(count)], as_line=True)
    svg = svg_of(plot("Calls", starts, step, (bars, line), written=str))
    labels = [each for each in svg.iter("text") if each.get("text-anchor") == "middle"]
    assert len(labels) <= 9
    for path in svg.iter("path"):
        assert all(0 <= float(number) <= 960 for number in re.findall(r"[0-9.]+", path.get("d") or ""))
    assert len(list(svg.iter("title"))) == count


def test_a_plot_of_zeros_has_an_axis() -> None:
    svg = svg_of(plot("Denials", [0], 60, (Series("denied", "bad", [0.0]),), written=str))
    assert next(svg.iter("text")).text == "0.0"
