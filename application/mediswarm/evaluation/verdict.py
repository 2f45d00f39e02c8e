"""What federation bought, in one sentence that the numbers can bear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from mediswarm.evaluation.result import FEDERATED, LOCAL, Difference, Result, only

_MARGIN = 0.0005  # below the third decimal, which is the last one shown


@dataclass(frozen=True)
class Verdict:
    """`sentence` says what changed; `note` what it rests on.

    `local` and `federated` are the means over the sites counted, None where
    there is none to count.
    """

    sentence: str
    note: str
    local: float | None = None
    federated: float | None = None


def verdict(results: list[Result], differences: Sequence[Difference] = ()) -> Verdict:
    """Compare the methods' macro AUROC over the sites that have both.

    Descriptive values do not enter the means, unless no site has any other.
    """
    local, federated = (only(results, "auroc_macro", method) for method in (LOCAL, FEDERATED))
    both = [
        (site, before.value, after.value, before.descriptive or after.descriptive)
        for site, before in local.items()
        if (after := federated.get(site)) and before.value is not None and after.value is not None
    ]
    if not both:
        return Verdict(
            "Local and federated models cannot be compared.",
            "No site has an AUROC for both: it needs test cases of at least two classes.",
        )
    solid = [entry for entry in both if not entry[3]]
    counted = solid or both
    old, new = fmean(entry[1] for entry in counted), fmean(entry[2] for entry in counted)
    sentence = _change("Federation {} the mean test AUROC", old, new)
    if len(counted) > 1 and abs(new - old) >= _MARGIN:
        sign = 1 if new >= old else -1
        most = max(counted, key=lambda entry: sign * (entry[2] - entry[1]))
        sentence += f"; at {most[0]} from {most[1]:.3f} to {most[2]:.3f}"
    return Verdict(sentence + ".", _note(both, solid, differences), old, new)


def _change(text: str, old: float, new: float) -> str:
    if abs(new - old) < _MARGIN:
        return f"{text.format('did not change')}, {new:.3f}"
    return f"{text.format('raised' if new > old else 'lowered')} from {old:.3f} to {new:.3f}"


def _note(
    both: Sequence[tuple[str, float, float, bool]],
    solid: Sequence[tuple[str, float, float, bool]],
    differences: Sequence[Difference],
) -> str:
    few = [site for site, _, _, descriptive in both if descriptive]
    counted = [site for site, *_ in (solid or both)]
    sites = "1 site" if len(counted) == 1 else f"{len(counted)} sites"
    notes = [f"Mean over {sites}."]
    if few and solid:
        notes.append(f"Not in the mean, since they have too few test cases: {', '.join(few)}.")
    elif few:
        notes.append(
            "Every site has too few test cases of some class: the figures describe, they prove nothing."
        )
    known = [d for d in differences if d.site in counted and d.low is not None and d.high is not None]
    for side, count in (
        ("above", sum(d.low is not None and d.low > 0 for d in known)),
        ("below", sum(d.high is not None and d.high < 0 for d in known)),
    ):
        if count or (side == "above" and known):
            notes.append(f"The 95 % interval of the difference lies {side} zero at {count} of {len(known)}.")
    return " ".join(notes)
