# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report page of a site of 50 tiers with 100 services between each two of them, in a browser: how soon it is painted, and how
long a filter takes. Exit status 1 where the first paint takes over a second, or a filter over 100 ms.

    make bench        or        PYTHONPATH=.venv/collections .venv/bin/python tests/benchmark/report_page.py
"""

from __future__ import annotations

import pathlib
import shutil
import statistics
import sys
import tempfile
import time
from datetime import date

from playwright.sync_api import sync_playwright

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.data import report_data
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.page import page_html
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TIERS, SERVICES, REPEAT = 50, 100, 5
MOST_PAINT, MOST_FILTER = 1000.0, 100.0

#: Types a text and returns the milliseconds until the browser has laid the page out anew.
FILTER = """(text) => {
  const input = document.getElementById("filter");
  input.value = text;
  const start = performance.now();
  input.dispatchEvent(new Event("input"));
  document.body.getBoundingClientRect();
  return performance.now() - start;
}"""


def declaration():
    services = {f"service-{number:02}": f"{8000 + number}/tcp" for number in range(SERVICES)}
    return {
        "bulkhead_tiers": {
            f"tier-{number:02}": {"vlan": number + 1, "subnet": f"10.{number}.0.0/16", "gateway": f"10.{number}.0.1"}
            for number in range(TIERS)
        },
        "bulkhead_services": services,
        "bulkhead_flows": [{"from": "tiers", "to": "tiers", "allow": list(services)}],
    }


def main():
    start = time.perf_counter()
    text = page_html(report_data(parse_site(declaration(), date(2026, 1, 1)), "large", "now"))
    print(
        f"{TIERS} tiers, {SERVICES} services: {len(text) / 1e6:.1f} MB, written in {time.perf_counter() - start:.1f} s"
    )
    paints, filters = [], []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        file = pathlib.Path(folder, "page.html")
        file.write_text(text, encoding="utf-8")
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _round in range(REPEAT):
            page = browser.new_page()
            page.goto(file.as_uri())
            page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            filters += [page.evaluate(FILTER, wanted) for wanted in ("tier-07", "service-42", "8099", "nothing", "")]
            page.close()
        browser.close()
    paint, slowest = statistics.median(paints), statistics.median(sorted(filters)[-REPEAT:])
    print(f"first paint: {paint:.0f} ms (at most {MOST_PAINT:.0f}), of {', '.join(f'{one:.0f}' for one in paints)}")
    print(
        f"a filter: {statistics.median(filters):.0f} ms, the slower ones {slowest:.0f} ms (at most {MOST_FILTER:.0f})"
    )
    return int(paint > MOST_PAINT or slowest > MOST_FILTER)


if __name__ == "__main__":
    sys.exit(main())
