"""Why sites are missing, as a person reads it."""

from __future__ import annotations

from mediswarm.error_codes import ERROR_CODES


def in_words(codes: dict[str, str]) -> str:
    """Each site with the code of its reason and what that code means.

    Args:
        codes: the code of the reason for each site; only codes leave a site, never texts.
    """
    return ", ".join(f"{site} ({code}: {_title(code)})" for site, code in sorted(codes.items()))


def _title(code: str) -> str:
    # a site of another version may know codes that are not known here
    return ERROR_CODES[code].title if code in ERROR_CODES else "unknown here"
