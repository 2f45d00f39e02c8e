import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from mediswarm.errors import UsageError
from mediswarm.evaluation import (
    FEDERATED,
    LOCAL,
    Difference,
    Result,
    comparison_table,
    summarise,
    verdict,
    write_summary,
)


def _macro(site: str, method: str, value: float | None, descriptive: bool = False) -> Result:
    low, high = (None, None) if value is None else (max(0, value - 0.1), min(1, value + 0.1))
    return Result(site, method, "auroc_macro", value, 30, low, high, descriptive or value is None, ("a", "b"))


def _pair(site: str, local: float | None, federated: float | None, descriptive: bool = False) -> list[Result]:
    return [_macro(site, LOCAL, local, descriptive), _macro(site, FEDERATED, federated, descriptive)]


def _shown(results: list[Result], differences: tuple[Difference, ...] = ()) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80, color_system=None).print(comparison_table(results, differences))
    return stream.getvalue()


def test_verdict_names_the_mean_and_the_site_that_gained_most() -> None:
    found = verdict(_pair("north", 0.80, 0.84) + _pair("south", 0.60, 0.80))
    assert found.sentence == (
        "Federation raised the mean test AUROC from 0.700 to 0.820; at south from 0.600 to 0.800."
    )
    assert (found.local, found.federated) == (pytest.approx(0.7), pytest.approx(0.82))


def test_verdict_says_so_when_federation_did_harm() -> None:
    found = verdict(_pair("north", 0.80, 0.82) + _pair("south", 0.80, 0.60))
    assert found.sentence.startswith("Federation lowered the mean test AUROC from 0.800 to 0.710; at south")


def test_verdict_does_not_make_much_of_nothing() -> None:
    assert verdict(_pair("north", 0.8, 0.8001)).sentence == (
        "Federation did not change the mean test AUROC, 0.800."
    )


def test_e1_descriptive_sites_do_not_enter_the_mean() -> None:
    found = verdict(_pair("north", 0.80, 0.84) + _pair("tiny", 0.20, 1.00, descriptive=True))
    assert found.federated == pytest.approx(0.84)
    assert "tiny" not in found.sentence
    assert "Not in the mean, since they have too few test cases: tiny." in found.note


def test_verdict_over_descriptive_sites_alone_claims_nothing() -> None:
    assert "they prove nothing" in verdict(_pair("tiny", 0.2, 1.0, descriptive=True)).note


def test_verdict_without_a_comparison() -> None:
    for results in ([], _pair("north", None, None), [_macro("north", FEDERATED, 0.9)]):
        found = verdict(results)
        assert found.sentence == "Local and federated models cannot be compared."
        assert found.federated is None


def test_verdict_counts_the_sites_whose_gain_is_beyond_chance() -> None:
    results = _pair("north", 0.80, 0.84) + _pair("south", 0.60, 0.80)
    differences = [
        Difference("north", "auroc_macro", 0.04, 30, -0.01, 0.09, False, ("a", "b")),
        Difference("south", "auroc_macro", 0.20, 30, 0.10, 0.30, False, ("a", "b")),
    ]
    assert "above zero at 1 of 2" in verdict(results, differences).note


def test_summary_holds_what_a_script_reads(study, tmp_path: Path) -> None:
    summary = summarise(study.results, job="demo", seconds={"local": 1.23456}, differences=study.differences)
    path = tmp_path / "demo" / "summary.json"
    write_summary(path, summary)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read == summary
    assert (read["job"], read["seconds"]) == ("demo", {"local": 1.235})
    assert {(r["site"], r["method"]) for r in read["results"] if r["metric"] == "auroc_macro"} == {
        (site, method) for site in study.facts.sites for method in ("local", "federated")
    }
    for row in read["results"]:
        assert row.keys() == {
            "site",
            "method",
            "metric",
            "value",
            "support",
            "interval",
            "descriptive",
            "classes",
        }
        assert row["interval"] is None or row["interval"][0] <= row["value"] <= row["interval"][1]
    assert [d["site"] for d in read["differences"]] == list(study.facts.sites)
    assert read["mean_auroc_macro"]["federated"] > read["mean_auroc_macro"]["local"]


def test_summary_refuses_two_results_of_one_thing() -> None:
    with pytest.raises(
        UsageError, match="site north has two results of auroc_macro for method local"
    ) as caught:
        summarise(_pair("north", 0.8, 0.9) + _pair("north", 0.7, 0.9), job="demo", seconds={})
    assert caught.value.code == "MS-E007"


def test_table_is_readable_without_colour() -> None:
    results = (
        _pair("north", 0.80, 0.84) + _pair("tiny", 0.20, 1.00, descriptive=True) + _pair("void", None, None)
    )
    difference = Difference("north", "auroc_macro", 0.04, 30, -0.01, 0.09, False, ("a", "b"))
    shown = _shown(results, (difference,))
    lines = shown.splitlines()
    north, tiny, void = (
        next(number for number, row in enumerate(lines) if name in row) for name in ("north", "tiny", "void")
    )
    assert "0.800" in lines[north]
    assert "+0.040" in lines[north]
    assert "0.70 to 0.90" in lines[north + 1]
    assert "-0.01 to +0.09" in lines[north + 1]
    assert "1.000*" in lines[tiny]
    assert lines[void].count("n/a") == 3
    assert "* descriptive: too few test cases" in shown
    assert "\x1b" not in shown


def test_table_says_which_classes_a_mean_is_over(study) -> None:
    shown = " ".join(_shown(study.results).split())
    assert "clinic-south: the mean is over none, malignant only" in shown


def test_table_takes_names_as_they_are() -> None:
    assert "[bold]north" in _shown(_pair("[bold]north", 0.8, 0.9))
