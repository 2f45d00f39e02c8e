import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mediswarm.evaluation import (
    FEDERATED,
    LOCAL,
    ContributionLine,
    evaluate_predictions,
    roc_curves,
    write_report,
)

VOID = {"meta", "br", "img", "link", "hr", "input"}


class _Page(HTMLParser):
    """Checks that elements nest, and collects tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.tags if name == tag)


def _report(study, folder: Path) -> str:
    path = folder / "demo" / "report.html"
    write_report(path, study.facts, study.results, differences=study.differences, curves=study.curves)
    return path.read_text(encoding="utf-8")


def test_report_names_the_run_every_site_and_every_class(study, tmp_path: Path) -> None:
    text = _report(study, tmp_path)
    for name in (
        *study.facts.sites,
        *study.facts.classes,
        study.facts.job_hash,
        "fedavg",
        "2026-11-21 09:30 UTC",
    ):
        assert name in text
    assert "Federation raised the mean test AUROC from" in text
    assert "round 8: MS-R005" in text
    assert "11 of 12" in text
    assert "clinic-south: the mean is over none, malignant only" in text


def test_report_needs_nothing_from_elsewhere(study, tmp_path: Path) -> None:
    text = _report(study, tmp_path)
    page = _Page(text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert "@import" not in text
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]+"', "", text)
    for _, attributes in page.tags:
        link = attributes.get("href") or attributes.get("xlink:href") or "#"
        assert link.startswith("#")
    assert set(re.findall(r"url\((.)", text)) <= {"#"}


def test_report_holds_no_case(study, tmp_path: Path) -> None:
    assert "case-0" not in _report(study, tmp_path)


def test_report_is_accessible(study, tmp_path: Path) -> None:
    page = _Page(_report(study, tmp_path))
    assert next(page.all("html"))["lang"] == "en"
    figures = [drawn for drawn in page.all("svg") if "aria-hidden" not in drawn]
    assert len(figures) == 1 + len(study.facts.sites) + len(study.facts.classes) + 2
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in figures)
    assert all("scope" in attributes for attributes in page.all("th"))
    tables = len(list(page.all("table")))
    assert len(list(page.all("caption"))) == tables
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_report_follows_light_and_dark(study, tmp_path: Path) -> None:
    text = _report(study, tmp_path)
    assert "prefers-color-scheme: dark" in text
    body = text[text.index("<body>") :]
    assert set(re.findall(r"#[0-9a-f]{6}\b", body)) == set()
    used, defined = set(re.findall(r"var\((--[a-z0-9-]+)\)", text)), set(re.findall(r"(--[a-z0-9-]+):", text))
    assert used <= defined


def test_report_escapes_names(study, tmp_path: Path) -> None:
    evil = '<script>alert("&")</script>$x^$'
    facts = replace(study.facts, job=evil, description=evil, sites=(evil, *study.facts.sites[1:]))
    rename = {study.facts.sites[0]: evil}
    study = replace(
        study,
        facts=facts,
        results=[replace(r, site=rename.get(r.site, r.site)) for r in study.results],
        differences=[replace(d, site=rename.get(d.site, d.site)) for d in study.differences],
        curves=[replace(c, site=rename.get(c.site, c.site)) for c in study.curves],
    )
    text = _report(study, tmp_path)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    _Page(text)


def test_report_is_the_same_for_the_same_run(study, tmp_path: Path) -> None:
    assert _report(study, tmp_path) == _report(study, tmp_path)


def test_report_without_curves_progress_or_contributions(study, tmp_path: Path) -> None:
    facts = replace(study.facts, progress=(), contributions=())
    text = _report(replace(study, facts=facts, curves=[], differences=[]), tmp_path)
    for heading in ("ROC curves", "Training, round by round", "Who contributed what"):
        assert heading not in text


def test_report_of_sites_without_test_cases(study, write_rows, tmp_path: Path) -> None:
    results = [
        result
        for site in study.facts.sites
        for method in (LOCAL, FEDERATED)
        for result in evaluate_predictions(write_rows(), site, method, study.facts.classes)
    ]
    text = _report(replace(study, results=results, differences=[], curves=[]), tmp_path)
    assert "Local and federated models cannot be compared." in text
    assert "n/a" in text


@pytest.mark.parametrize("count", [9, 16])
def test_report_of_many_sites(study, write_predictions, tmp_path: Path, count) -> None:
    sites = tuple(f"hospital-of-a-long-name-{number}" for number in range(count))
    results, curves = [], []
    for seed, site in enumerate(sites):
        path = write_predictions(f"{site}.csv", (12, 12, 12), 1.0, seed)
        for method in (LOCAL, FEDERATED):
            results += evaluate_predictions(path, site, method, study.facts.classes)
            curves += roc_curves(path, site, method, study.facts.classes)
    lines = tuple(ContributionLine(number, site, 10, 2, 10.0, 1.0) for number in range(3) for site in sites)
    facts = replace(study.facts, sites=sites, contributions=lines, progress=())
    text = _report(replace(study, facts=facts, results=results, differences=[], curves=curves), tmp_path)
    assert all(site in text for site in sites)


def test_looks_differ_for_as_many_sites_as_colours_and_markers_allow() -> None:
    from mediswarm.evaluation.plots.canvas import look_of

    assert len({look_of(index) for index in range(49)}) == 49
