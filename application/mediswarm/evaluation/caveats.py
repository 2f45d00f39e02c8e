"""What a reader must know before comparing sites: thin support, means over fewer classes, absent classes."""

from __future__ import annotations

from mediswarm.evaluation.result import WELL_SUPPORTED, Result


def caveats(results: list[Result]) -> list[str]:
    """Sentences about the macro AUROC and the classes behind it, none where all is well."""
    return [*_descriptive(results), *_partial(results), *_absent(results)]


def class_names(results: list[Result]) -> tuple[str, ...]:
    """The ordered classes that the results are about."""
    return tuple(dict.fromkeys(r.classes[0] for r in results if r.metric.startswith("sensitivity_")))


def _descriptive(results: list[Result]) -> list[str]:
    macros = [r for r in results if r.metric == "auroc_macro" and r.value is not None]
    few = dict.fromkeys(r.site for r in macros if r.descriptive)
    if not few:
        return []
    least = f"{WELL_SUPPORTED} test cases and {WELL_SUPPORTED} others"
    return [
        f"{', '.join(few)}: no class has {least}; the mean is over all classes present, and descriptive (*)."
    ]


def _partial(results: list[Result]) -> list[str]:
    every = len(class_names(results))
    macros = [r for r in results if r.metric == "auroc_macro" and not r.descriptive]
    partial = {r.site: ", ".join(r.classes) for r in macros if len(r.classes) < every}
    rule = "it does not compare with a mean over all classes"
    return [f"{site}: the mean is over {names} only; {rule}." for site, names in partial.items()]


def _absent(results: list[Result]) -> list[str]:
    absent: dict[str, dict[str, None]] = {}  # an ordered set of classes for each site
    for result in results:
        if result.metric.startswith("sensitivity_") and not result.support:
            absent.setdefault(result.site, {})[result.classes[0]] = None
    return [f"{site} has no test case of {', '.join(names)} (n/a)." for site, names in absent.items()]
