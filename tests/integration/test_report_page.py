"""The report page in a real browser: what a person sees, clicks and types, and that the page asks the network for nothing."""

from __future__ import annotations

import pathlib
import shutil
from datetime import date

import pytest
from playwright.sync_api import sync_playwright

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.data import report_data
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.page import page_html
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

SITE = {
    "bulkhead_tiers": {
        "office": {"vlan": 1, "subnet": ["10.0.1.0/24", "fd00:1::/64"], "gateway": "10.0.1.1", "internet": True},
        "plant": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1", "internet": False},
        "store": {"vlan": 3, "subnet": ["10.0.3.0/24", "fd00:3::/64"], "gateway": "10.0.3.1"},
    },
    "bulkhead_addresses": {"printer": "10.0.1.9"},
    "bulkhead_services": {"ssh": "22/tcp", "web": ["80/tcp", "8000-8009/tcp"], "dns": "53/udp", "tunnel": "esp"},
    "bulkhead_flows": [
        {"from": "office", "to": "plant", "allow": ["ssh", "web"], "why": "administration"},
        {"from": "office", "to": "store", "allow": "dns"},
        {"from": "plant", "to": "printer", "allow": "web"},
    ],
    "bulkhead_never": [{"from": "store", "to": "plant", "deny": "any"}],
}


def data_of(**broken):
    """A plan, as it would look with some services of office -> plant found wrong: {service: mark}."""
    data = report_data(parse_site(SITE, date(2026, 1, 1)), "plant", "2026-11-29 12:00:00 UTC")
    if not broken:
        return data
    for cell in data["cells"]:
        for one in cell["services"]:
            one["live"] = (
                broken.get(one["name"], "holds") if (cell["from"], cell["to"]) == ("office", "plant") else "holds"
            )
    finding = {
        "kind": "blocked",
        "title": "blocked, though declared",
        "from": ["desk"],
        "to": ["pump"],
        "cells": [["office", "plant"]],
        "ports": ["22/tcp (ssh)"],
        "witness": "desk → pump 22/tcp (ssh)",
        "cause": "no rule allows it",
        "remedy": "run site.yml, which restores it",
        "flow": "bulkhead_flows[0]: office -> plant ssh",
        "probes": 1,
        "severity": "error",
        "hops": [],
        "times": 1,
    }
    verdict = {"holds": False, "text": "not proven", "partial": False, "probes": 1200, "failed": 1, "seconds": 1.0}
    return {**data, "findings": [finding], "verdict": {**verdict, "seed": "1"}}


def with_static(data):
    """The same, and a static proof that has found a dead rule, and web open wider than it should be."""
    for cell in data["cells"]:
        cell["rest"] = "holds"
        for one in cell["services"]:
            one["static"] = "wrong" if one["name"] == "web" and cell["from"] == "office" else "holds"
    dead = {**data["findings"][0], "kind": "static-dead", "title": "dead rule", "severity": "note", "cells": []}
    dead.update(witness="pump1", cause="a rule decides nothing", hops=["pump1 ufw-user-input: -j DROP"])
    static = {"holds": False, "text": "By their rules (3 hosts), the hosts are not as declared."}
    return {**data, "static": static, "findings": [*data["findings"], dead]}


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the page of some data; at its end nothing was asked of the network, and the console holds no error."""
    asked, said, contexts = [], [], []

    def open_page(data, **context):
        file = pathlib.Path(tmp_path, "page.html")
        file.write_text(page_html(data), encoding="utf-8")
        contexts.append(browser.new_context(**context))
        page = contexts[-1].new_page()
        page.set_default_timeout(60000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield open_page
    assert [url for url in asked if not url.startswith("file:") or not url.endswith("page.html")] == []
    assert said == []
    for context in contexts:
        context.close()


def ask(page, start, end, port):
    page.fill("#ask [name=from]", start)
    page.fill("#ask [name=to]", end)
    page.fill("#ask [name=port]", port)
    page.press("#ask [name=port]", "Enter")
    return page.inner_text("#answer")


def test_a_cell_shows_what_is_declared_and_what_was_found_and_opens(opened):
    page = opened(data_of(ssh="wrong"))
    cell = page.locator("tr[data-place=office] td").nth(1)
    assert cell.locator(".chip.wrong").inner_text().split()[0] == "ssh"
    cell.click()
    drawer = page.inner_text("#drawer")
    assert "office → plant" in drawer and "bulkhead_flows[0]" in drawer and "no rule allows it" in drawer
    page.keyboard.press("Escape")
    assert not page.is_visible("#drawer")


def test_a_cell_shows_what_is_expected_what_the_rules_say_and_what_packets_found(opened):
    page = opened(with_static(data_of(ssh="wrong")))
    cell = page.locator("tr[data-place=office] td").nth(1)
    marks = {
        chip.inner_text().split()[0]: [mark.get_attribute("class").split()[1] for mark in chip.locator(".mark").all()]
        for chip in cell.locator(".chip").all()
    }
    assert marks == {"ssh": ["declared", "holds", "wrong"], "web": ["declared", "wrong", "holds"]}
    assert "web declared, by the rules not as declared, by packets as declared" in " ".join(
        cell.locator(".chip").nth(1).text_content().replace("●", "").replace("✕", "").split()
    )
    assert "By their rules (3 hosts)" in page.inner_text("header")
    cell.click()
    drawer = page.inner_text("#drawer")
    assert "By the rules, everything else is denied." in drawer and "by packets" in drawer


def test_findings_are_filtered_by_their_kind_with_the_keyboard_alone(opened):
    page = opened(with_static(data_of(ssh="wrong")))
    page.click("#tab-findings")
    page.focus("#kind")
    assert page.locator(".finding:visible").count() == 2
    page.select_option("#kind", "dead rule")
    assert page.locator(".finding:visible h3").all_inner_texts() == ["dead rule pump1"]
    assert page.inner_text("#shown") == "1 shown"
    page.select_option("#kind", "")
    assert page.locator(".finding:visible").count() == 2


def test_a_page_without_a_static_proof_says_that_it_did_not_run(opened):
    page = opened(data_of(ssh="wrong"))
    assert "The static proof was not run" in page.inner_text("header")
    assert page.locator("tr[data-place=office] td").nth(1).locator(".chip").first.locator(".mark").count() == 2
    page.locator("tr[data-place=office] td").nth(1).click()
    assert "not run" in page.inner_text("#drawer")


def test_tabs_show_one_part_at_a_time_and_go_by_arrows(opened):
    page = opened(data_of(ssh="wrong"))
    assert page.is_visible("#matrix") and not page.is_visible("#map")
    page.click("#tab-map")
    assert page.is_visible("#map svg") and not page.is_visible("#matrix")
    page.press("#tab-map", "ArrowRight")
    assert page.is_visible("#findings")
    assert "desk → pump 22/tcp" in page.inner_text("#findings")
    page.click("#findings .finding button")
    assert page.is_visible("#matrix") and page.is_visible("#drawer")


def test_the_keyboard_alone_reaches_a_cell_the_question_and_the_keys(opened):
    page = opened(data_of())
    page.focus(".matrix td[tabindex='0']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.inner_text("#drawer-title") == "office → plant"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "TD"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "from"
    page.keyboard.press("Escape")
    page.focus(".matrix td[tabindex='0']")
    page.keyboard.press("?")
    assert page.is_visible("#keys")


def test_the_filter_leaves_what_it_names(opened):
    page = opened(data_of(ssh="wrong"))
    page.fill("#filter", "dns")
    assert page.locator(".matrix tbody tr:not(.none)").evaluate_all("rows => rows.map(row => row.dataset.place)") == [
        "office"
    ]
    page.fill("#filter", "")
    page.check("#wrong")
    assert page.locator("td:not(.none) .chip:visible").count() == 2  # the cell with the one that is wrong
    page.uncheck("#wrong")
    assert page.locator(".matrix tbody tr:not(.none)").count() == 5


@pytest.mark.parametrize(
    ("start", "end", "port", "answer"),
    [
        ("office", "plant", "22/tcp", "ALLOWED by bulkhead_flows[0]"),
        ("10.0.1.7", "10.0.2.3", "ssh", "ALLOWED by bulkhead_flows[0]"),
        ("office", "plant", "8003/tcp", "ALLOWED"),
        ("office", "plant", "7999-8000/tcp", "IN PART"),
        ("office", "plant", "23/tcp", "DENIED no flow declares it; this one would: {from: office, to: plant"),
        ("fd00:1::5", "fd00:3::5", "53/udp", "ALLOWED by bulkhead_flows[1]"),
        ("10.0.1.7", "fd00:3::5", "53/udp", "DENIED one end is IPv4"),
        ("plant", "printer", "web", "ALLOWED by bulkhead_flows[2]"),
        ("plant", "office", "web", "IN PART"),
        ("store", "plant", "ssh", "DENIED no flow declares it, and bulkhead_never[0]"),
        ("office", "internet", "443/tcp", "ALLOWED"),
        ("plant", "8.8.8.8", "443/tcp", "DENIED"),
        ("office", "10.0.2.1", "22/tcp", "DENIED"),
        ("nowhere", "plant", "22/tcp", 'UNKNOWN from: "nowhere" is no name of this site'),
        ("office", "10.0.300.1", "22/tcp", "UNKNOWN to:"),
        ("office", "plant", "ssh22", "UNKNOWN port:"),
    ],
)
def test_the_page_answers_what_passes_by_the_declaration(opened, start, end, port, answer):
    assert ask(opened(data_of()), start, end, port).startswith(answer)


#: Each text that is seen, with its contrast against the first background behind it, as WCAG 2.2 works it out.
CONTRAST = """() => {
  const numbers = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("svg, script, .hidden, datalist")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(numbers(style.color)), light(behind(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.outerHTML.slice(0, 80)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks_for(opened, scheme):
    page = opened(data_of(ssh="wrong", web="unknown"), color_scheme=scheme)
    seen = 0
    for tab in ("matrix", "findings", "flows", "rules", "addresses"):
        page.click(f"#tab-{tab}")
        found = page.evaluate(CONTRAST)
        seen += len(found)
        assert [(round(ratio, 2), text) for ratio, text in found if ratio < 4.5] == []
    assert seen > 60


def test_every_control_has_a_name_and_the_order_of_headings_has_no_gap(opened):
    page = opened(data_of(ssh="wrong"))
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, button, a, [role=region], svg")].filter((one) =>
             !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    levels = page.evaluate('() => [...document.querySelectorAll("h1, h2, h3")].map((one) => Number(one.tagName[1]))')
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:]))


def test_on_paper_there_are_the_matrix_the_findings_and_the_addresses(opened):
    page = opened(data_of(ssh="wrong"))
    page.emulate_media(media="print")
    shown = [
        name for name in ("matrix", "map", "findings", "flows", "rules", "addresses") if page.is_visible(f"#{name}")
    ]
    assert shown == ["matrix", "findings", "addresses"]
    assert not page.is_visible("nav")


def test_without_its_script_the_page_still_shows_everything(opened):
    page = opened(data_of(), java_script_enabled=False)
    for part in ("matrix", "map", "findings", "flows", "rules", "addresses"):
        assert page.locator(f"#{part}").is_visible()
