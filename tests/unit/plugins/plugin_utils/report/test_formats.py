from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.data import report_data
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.formats import (
    FORMATS,
    junit_xml,
    markdown_text,
    page_html,
    sarif_json,
)

DESK, PUMP1, PUMP2 = "10.0.1.11", "10.0.2.11", "10.0.2.12"
HOSTILE = "</script><img src=x onerror=alert(1)>|`*_\x00\x1b[31m\u2028]]>&"


def data_of(lab, name="plant"):
    lab.verdicts[DESK, PUMP2, "tcp", 22] = "DROPPED"
    return report_data(lab.site, name, "2026-11-29", lab.proof())


def hostile(lab):
    lab.missing = {f"pump2{HOSTILE}": f"it said {HOSTILE}"}
    lab.verdicts[PUMP2, PUMP1, "tcp", 9999] = "ALLOWED"
    lab.live["pump1"].insert(0, {"rule": "allow", "proto": "tcp", "to_port": "9999", "comment": HOSTILE})
    return data_of(lab, HOSTILE)


class Page(HTMLParser):
    """The elements of a page, their attributes, and the texts of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.inside = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self.inside = ""


def test_the_page_asks_the_network_for_nothing(lab):
    page = Page(page_html(data_of(lab)))
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "action", "background", "style", "onclick"} & set(attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith("#"), (tag, attributes)
    policy = next(attributes["content"] for tag, attributes in page.elements if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_no_text_of_a_host_becomes_markup_or_script(lab):
    plain, page = Page(page_html(data_of(lab))), Page(page_html(hostile(lab)))
    assert [tag for tag, _dummy in page.elements].count("script") == 2
    assert "img" not in [tag for tag, _dummy in page.elements]
    assert page.scripts[1] == plain.scripts[1]
    assert json.loads(page.scripts[0])["findings"]


def test_the_matrix_is_a_table_with_the_service_that_failed_marked(lab):
    text = page_html(data_of(lab))
    assert 'scope="row">office' in text and 'scope="col">plant' in text
    assert re.search(r'<li class="chip wrong">ssh', text)
    assert "declared, by packets not as declared" in text


def test_cells_with_the_same_services_share_them_in_the_page(lab):
    data = json.loads(Page(page_html(report_data(lab.site, "plant", "now"))).scripts[0])
    assert all(isinstance(cell["services"], int) for cell in data["cells"])
    assert len(data["lists"]) == len({json.dumps(one) for one in data["lists"]})


def test_junit_has_a_failure_for_each_service_that_failed(lab):
    root = ElementTree.fromstring(junit_xml(data_of(lab)))
    failed = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert [(case.get("classname"), case.get("name")) for case in failed] == [("office to plant", "ssh passes")]
    assert f"desk {DESK} -> pump2 {PUMP2} 22/tcp: DROPPED" in failed[0].find("failure").text
    assert sum(int(suite.get("failures")) for suite in root) == 1
    assert all(int(suite.get("tests")) == len(suite.findall("testcase")) for suite in root)


def test_junit_has_a_failure_for_what_is_open_and_not_declared(lab):
    lab.verdicts[PUMP2, PUMP1, "tcp", 9999] = "ALLOWED"
    lab.live["pump1"].insert(0, {"rule": "allow", "proto": "tcp", "to_port": "9999"})
    root = ElementTree.fromstring(junit_xml(report_data(lab.site, "plant", "now", lab.proof())))
    failed = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
    assert failed == ["9999/tcp is blocked"]


def test_sarif_has_a_result_for_each_finding(lab):
    data = data_of(lab)
    run = json.loads(sarif_json(data))["runs"][0]
    assert len(run["results"]) == len(data["findings"]) > 0
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["results"][0]["level"] == "error"


def test_a_text_of_a_host_breaks_no_format(lab):
    data = hostile(lab)
    ElementTree.fromstring(junit_xml(data))
    json.loads(sarif_json(data))
    assert re.search(r"(?<!\\)[<`&]", markdown_text(data)) is None


def test_markdown_shows_the_verdict_the_findings_and_the_matrix(lab):
    text = markdown_text(data_of(lab))
    assert text.startswith("# plant: the isolation is not proven\n")
    assert "- **blocked, though declared**: desk → pump2 22/tcp (ssh)" in text
    assert "| office |  | ssh ✗, web |" in text


def test_markdown_is_the_site_s_network_documentation(lab):
    text = markdown_text(report_data(lab.site, "plant", "now"))
    assert "| 1 | office | 10.0.1.0/24 | 10.0.1.1 |" in text
    assert "| web | 80/tcp, 8000-8009/tcp |" in text and "| tunnel | esp |" in text
    assert "| bulkhead\\_flows\\[0\\] | office | plant | ssh, web |" in text
    proven = markdown_text(data_of(lab))
    assert "## Hosts of the proof" in proven and "| desk | 10.0.1.11 | office |" in proven
    assert "The static proof was not run." in proven


def test_markdown_marks_what_the_rules_let_through_beside_what_packets_found(lab):
    data = data_of(lab)
    (cell,) = [cell for cell in data["cells"] if (cell["from"], cell["to"]) == ("office", "plant")]
    cell["services"][1]["static"] = "wrong"
    assert "ssh ✗, web by the rules ✗" in markdown_text(data)


def test_every_format_has_a_suffix_of_its_own():
    assert len({suffix for suffix, _dummy in FORMATS.values()}) == len(FORMATS)
