"""Write the parts of the documentation that follow from the code, or check that they are up to date.

    python scripts/build/generate_docs.py [--check]

Writes docs/errors.md, docs/job.md, docs/job.schema.json and docs/cli.md. With
--check nothing is written; the differences are shown and the exit code is 1 if
there are any.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from reference.cli_page import cli_page
from reference.error_page import error_page
from reference.job_page import job_page, job_schema

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {
    "errors.md": error_page,
    "job.md": job_page,
    "job.schema.json": job_schema,
    "cli.md": cli_page,
}


def main() -> int:
    """Write or check every page; gives the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is out of date")
    check = parser.parse_args().check
    stale = [name for name, page in PAGES.items() if not _settle(DOCS / name, page(), check)]
    if stale:
        print(f"out of date: {', '.join(stale)}; run scripts/build/generate_docs.py", file=sys.stderr)
    return 1 if stale else 0


def _settle(file: Path, text: str, check: bool) -> bool:
    """Write `text`, or only compare it with what is there; False when a check finds a difference."""
    present = file.read_text(encoding="utf-8") if file.is_file() else ""
    if check and present != text:
        shown = difflib.unified_diff(
            present.splitlines(), text.splitlines(), f"docs/{file.name}", "from the code", lineterm=""
        )
        print("\n".join(shown))
        return False
    if present != text:
        file.write_text(text, encoding="utf-8")
        print(f"wrote docs/{file.name}")
    return True


if __name__ == "__main__":
    sys.exit(main())
