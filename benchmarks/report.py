"""Puts results into docs/performance.md: each block between `<!-- RESULT/TABLE -->` and `<!-- end -->` is its table."""

import json
import re
from pathlib import Path

from common import ROOT, Result, markdown
from targets import verdicts

DOCUMENT = ROOT / "docs/performance.md"
BLOCK = re.compile(r"<!-- (?P<result>[\w-]+)/(?P<table>\w+) -->\n.*?<!-- end -->", re.DOTALL)


def filled(text: str, results: Path) -> str:
    """The document with every block made anew from the results in a folder; a block whose result is not there stays."""

    def block(match: re.Match[str]) -> str:
        file = results / f"{match['result']}.json"
        if not file.exists():
            return match[0]
        result: Result = json.loads(file.read_text(encoding="utf-8"))
        return f"<!-- {match['result']}/{match['table']} -->\n\n{_table(result, match['table'])}\n\n<!-- end -->"

    return BLOCK.sub(block, text)


def _table(result: Result, name: str) -> str:
    if name == "machine":
        return markdown([{"what": key, "is": value} for key, value in result["machine"].items()])
    if name == "targets":
        return markdown(verdicts(result))
    return markdown(result["tables"][name]) if name in result["tables"] else "Not measured."


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8"), ROOT / "benchmarks/results"), encoding="utf-8")
