# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""usage: verdict.py PROOF.json     The verdict of a proof in one line, and where its report is."""

from __future__ import annotations

import json
import pathlib
import sys


def main() -> int:
    path = pathlib.Path(sys.argv[1])
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        print(f"NOT PROVEN: there is no report at {path}")
        return 1
    static = said.get("static")
    wrong = sum(cell["verdict"] != cell["expected"] for cell in static["cells"]) if static else 0
    rules = (
        f"rules: {len(static['cells']) - wrong:,} of {len(static['cells']):,} cells as declared"
        if static
        else "rules: not looked at"
    )
    failed = sum(said["totals"].get(status, 0) for status in ("open", "blocked", "misdirected", "inconclusive"))
    holds = said["holds"] and (static is None or static["holds"])
    probes = said["totals"]["probes"]
    packets = f"{probes - failed:,} of {probes:,} probes as declared" if said["packets"] else "none were sent"
    print(
        f"\n{'HOLDS' if holds else 'NOT PROVEN'}{', in part' if said['partial'] else ''}: packets: {packets}; {rules}"
    )
    page = path.with_suffix(".html")
    print(f"The report: {(page if page.exists() else path).resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
