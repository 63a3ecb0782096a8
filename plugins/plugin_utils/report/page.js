"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const cells = new Map(data.cells.map((cell) => [key(cell.from, cell.to), cell]));
  const words = {holds: "as declared", wrong: "not as declared", unknown: "inconclusive"};

  function key(from, to) { return JSON.stringify([from, to]); }

  // An element; text is text, never markup.
  function make(name, text = "", attributes = {}) {
    const element = document.createElement(name);
    element.textContent = text;
    for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
    return element;
  }

  // -- tabs --------------------------------------------------------------------------------------------------------

  const tabs = $$("[role=tab]");

  function show(name) {
    const chosen = tabs.find((tab) => tab.id === `tab-${name}`) || tabs[0];
    for (const tab of tabs) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
    }
    return chosen;
  }

  for (const tab of tabs) {
    tab.addEventListener("click", (event) => {
      event.preventDefault();
      history.replaceState(null, "", tab.getAttribute("href"));
      show(tab.id.slice(4));
    });
    tab.addEventListener("keydown", (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      next.click();
      next.focus();
    });
  }
  document.body.classList.add("tabs");
  show(location.hash.slice(1));
  addEventListener("hashchange", () => show(location.hash.slice(1)));

  // -- matrix ------------------------------------------------------------------------------------------------------

  const rows = $$(".matrix tbody tr");
  const grid = rows.map((row) => $$("td", row));
  const at = {row: 0, column: 0};
  const numbered = data.places.map((from) => data.places.map((to) => cells.get(key(from, to))));

  function pairOf(td) { return [td.parentNode.dataset.place, data.places[Number(td.dataset.cell)]]; }

  function tdOf(from, to) { return grid[data.places.indexOf(from)]?.[data.places.indexOf(to)]; }

  function enter(row, column, focus = true) {
    grid[at.row]?.[at.column]?.setAttribute("tabindex", "-1");
    [at.row, at.column] = [row, column];
    grid[row][column].setAttribute("tabindex", "0");
    if (focus) grid[row][column].focus();
  }

  // The next place from here in a direction whose row is shown.
  function step(row, column, down, right) {
    do {
      row += down;
      column += right;
    } while (grid[row] && grid[row][column] && rows[row].classList.contains("none"));
    if (grid[row] && grid[row][column]) enter(row, column);
  }

  const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
  const table = $(".matrix");
  table.addEventListener("keydown", (event) => {
    if (event.target.tagName !== "TD") return;
    if (moves[event.key]) {
      event.preventDefault();
      step(at.row, at.column, ...moves[event.key]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      open(...pairOf(event.target));
    }
  });
  table.addEventListener("click", (event) => {
    const td = event.target.closest("td");
    if (!td) return;
    enter(rows.indexOf(td.parentNode), Number(td.dataset.cell));
    open(...pairOf(td));
  });
  if (grid.length) enter(0, 0, false);

  // A filter empties cells without a service that it names, and hides the rows that are left with nothing; a tier's name
  // finds its row and its column. Cells share their lists of services, so each list is looked at once, and only a cell that
  // changes is touched.
  const broken = data.lists.map((list) => list.some((one) => one.doubtful));
  const texts = data.lists.map((list) => list.map((one) => [one.doubtful, one.name.toLowerCase(), one.ports]));
  const lower = data.places.map((name) => name.toLowerCase());
  const listOf = numbered.map((row) => row.map((cell) => (cell && data.lists[cell.services].length ? cell.services : -1)));
  const emptied = grid.map((row) => row.map(() => false));

  function filter() {
    const wanted = $("#filter").value.trim().toLowerCase(), wrong = $("#wrong").checked, all = !wanted && !wrong;
    const named = texts.map((list) => list.some(([doubtful, name, ports]) => (!wrong || doubtful) &&
      (name.includes(wanted) || ports.some((one) => one.includes(wanted)))));
    const places = lower.map((name) => name.includes(wanted));
    grid.forEach((row, start) => {
      let any = all;
      row.forEach((td, end) => {
        const list = listOf[start][end];
        const found = all || (list >= 0 && (named[list] || ((places[start] || places[end]) && (!wrong || broken[list]))));
        if (emptied[start][end] === found) td.classList.toggle("none", emptied[start][end] = !found);
        any = any || found;
      });
      rows[start].classList.toggle("none", !any);
    });
  }
  $("#filter").addEventListener("input", filter);
  $("#wrong").addEventListener("change", filter);

  // -- drawer ------------------------------------------------------------------------------------------------------

  const drawer = $("#drawer"), body = $("#drawer-body");
  let opener = null;

  function list(pairs) {
    const dl = make("dl");
    for (const [name, value] of pairs) if (value) dl.append(make("dt", name), make("dd", value));
    return dl;
  }

  function open(from, to) {
    const cell = cells.get(key(from, to));
    opener = document.activeElement;
    $("#drawer-title").textContent = `${from} → ${to}`;
    body.replaceChildren();
    const services = cell ? data.lists[cell.services] : [];
    if (!services.length) body.append(make("p", cell?.never ? "Never, by an invariant." : "Nothing is declared: blocked."));
    if (cell?.probes) {
      body.append(make("p", `${cell.probes.toLocaleString("en")} probes, ${cell.denied.toLocaleString("en")} of them denied as declared.`));
    }
    if (data.static && cell?.rest) body.append(make("p", `By the rules, everything else is ${{holds: "denied", wrong: "not all denied", unknown: "not told"}[cell.rest]}.`));
    for (const one of services) {
      body.append(make("h3", `${one.name} ${one.ports.join(", ")} ${one.only}`));
      const probes = one.probes.map((probe) =>
        `${probe.from} → ${probe.to} ${probe.port} ${probe.found}${probe.ended ? `, last seen at ${probe.ended}` : ""}`);
      if (one.count > probes.length) probes.push(`and ${(one.count - probes.length).toLocaleString("en")} more`);
      body.append(list([
        ["declared", one.flow ? `${one.flow}  ${data.paths[one.flow] || ""}` : "by no flow"],
        ["by the rules", data.static ? words[one.static] || "not told" : "not run"],
        ["by packets", one.live ? words[one.live] : "not probed"],
        ["probes", probes.join("; ")],
      ]));
    }
    for (const finding of data.findings) {
      if (!finding.cells.some(([start, end]) => start === from && end === to)) continue;
      body.append(make("h3", `${finding.title}: ${finding.witness}`), list([["why", finding.cause], ["what to do", finding.remedy]]));
    }
    drawer.hidden = false;
    $("#drawer-title").focus();
  }

  function close() {
    drawer.hidden = true;
    opener?.focus();
  }
  $("#close").addEventListener("click", close);

  const kind = $("#kind");
  kind?.addEventListener("change", () => {
    let shown = 0;
    for (const finding of $$(".finding")) {
      finding.hidden = kind.value !== "" && finding.dataset.kind !== kind.value;
      shown += !finding.hidden;
    }
    $("#shown").textContent = `${shown} shown`;
  });

  for (const finding of $$(".finding")) {
    const [first] = JSON.parse(finding.dataset.cells);
    if (!first || !tdOf(...first)) continue;
    const link = make("button", `${first[0]} → ${first[1]} in the matrix`);
    link.addEventListener("click", () => {
      show("matrix");
      enter(data.places.indexOf(first[0]), data.places.indexOf(first[1]));
      open(...first);
    });
    finding.append(link);
  }

  // -- map ---------------------------------------------------------------------------------------------------------

  for (const edge of $$(".edge")) {
    const ends = [[edge.dataset.from, edge.dataset.to], [edge.dataset.to, edge.dataset.from]];
    const light = (on) => ends.forEach((pair) => tdOf(...pair)?.classList.toggle("lit", on));
    edge.addEventListener("mouseenter", () => light(true));
    edge.addEventListener("mouseleave", () => light(false));
    edge.addEventListener("click", () => open(...ends[cells.has(key(...ends[0])) ? 0 : 1]));
  }
  for (const box of $$(".box")) {
    const light = (on) => $$(".edge").forEach((edge) => {
      if ([edge.dataset.from, edge.dataset.to].includes(box.dataset.place)) edge.classList.toggle("lit", on);
    });
    box.addEventListener("mouseenter", () => light(true));
    box.addEventListener("mouseleave", () => light(false));
  }

  // -- ask: what the declaration says of a packet, from the spans of addresses that the page carries --------------

  const V6 = 1n << 128n;
  const number = (text) => BigInt(`0x${text}`);

  // A point on the line of addresses: IPv4 is its value, IPv6 its value plus 2^128. null: no address.
  function point(text) {
    const four = text.split(".");
    if (four.length === 4 && four.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) {
      return four.reduce((sum, part) => sum * 256n + BigInt(part), 0n);
    }
    if (!/^[0-9a-f:]+$/i.test(text) || !text.includes(":")) return null;
    const [head, tail, more] = text.split("::");
    const parts = (side) => (side ? side.split(":") : []);
    const known = [parts(head), parts(tail)], missing = 8 - known[0].length - known[1].length;
    if (more !== undefined || (tail === undefined ? missing !== 0 : missing < 1)) return null;
    const groups = [...known[0], ...Array(missing).fill("0"), ...known[1]];
    if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return null;
    return V6 + groups.reduce((sum, group) => sum * 65536n + number(group), 0n);
  }

  // A tier, a name, an address or a network -> [[first, last]]; null where it is none. side: source or destination.
  function spans(text, side) {
    if (Object.hasOwn(data.ask.names, text)) return data.ask.names[text][side].map((span) => span.map(number));
    const [address, size] = text.split("/");
    const first = point(address);
    if (first === null) return null;
    const bits = first >= V6 ? 128 : 32;
    if (size === undefined) return [[first, first]];
    if (!/^\d{1,3}$/.test(size) || Number(size) > bits) return null;
    const free = BigInt(bits - Number(size));
    return [[(first >> free) << free, ((first >> free) << free) + (1n << free) - 1n]];
  }

  // 22/tcp, or a service -> [[protocol, first, last]]; null where it is none.
  function ports(text) {
    const texts = Object.hasOwn(data.services, text) ? data.services[text] : [text];
    const found = texts.map((one) => {
      const match = /^(?:(\d+)(?:-(\d+))?\/)?([a-z]+)$/.exec(one);
      if (!match) return null;
      return [match[3], match[1] ? Number(match[1]) : 0, match[2] ? Number(match[2]) : match[1] ? Number(match[1]) : 65535];
    });
    return found.includes(null) ? null : found;
  }

  const holds = (wide, narrow) => narrow.every(([a, b]) => wide.some(([c, d]) => c <= a && b <= d));
  const meets = (one, other) => one.some(([a, b]) => other.some(([c, d]) => a <= d && c <= b));
  const covers = (wide, [proto, a, b]) => wide.some(([p, c, d]) => p === "any" || (p === proto && c <= a && b <= d));
  const touches = (wide, [proto, a, b]) => wide.some(([p, c, d]) => p === "any" || (p === proto && a <= d && c <= b));
  const ends = data.ask.ends.map((end) => ({
    source: end.source.map((span) => span.map(number)),
    destination: end.destination.map((span) => span.map(number)),
  }));

  // "whole": the flow is about all of it; "part": about some of it; "": about none.
  function about(flow, from, to, port) {
    let part = "";
    for (const [start, end] of flow.pairs) {
      const source = ends[start].source, destination = ends[end].destination;
      if (covers(flow.ports, port) && holds(source, from) && holds(destination, to)) return "whole";
      if (touches(flow.ports, port) && meets(source, from) && meets(destination, to)) part = "part";
    }
    return part;
  }

  function answer(from, to, port) {
    const sides = [spans(from, "source"), spans(to, "destination")], asked = ports(port);
    const unread = [[sides[0], from, "from"], [sides[1], to, "to"], [asked, port, "port"]].find(([found]) => found === null);
    if (unread) return ["unknown", "UNKNOWN", `${unread[2]}: ${JSON.stringify(unread[1])} is no name of this site and no ${unread[2] === "port" ? "port such as 22/tcp" : "address"}`];
    if (!meets(...sides.map((side) => side.map(([a]) => (a < V6 ? [0n, 0n] : [1n, 1n]))))) {
      return ["denied", "DENIED", "one end is IPv4, the other IPv6"];
    }
    const texts = [];
    let worst = "whole";
    for (const one of asked) {
      const flows = data.ask.flows.map((flow) => [flow, about(flow, ...sides, one)]);
      const found = flows.find(([, how]) => how === "whole") || flows.find(([, how]) => how === "part");
      const how = found ? found[1] : "";
      worst = how === "" ? "" : worst === "whole" ? how : worst;
      if (found) texts.push(`${how === "part" ? "in part by " : "by "}${found[0].path}: ${found[0].text}`);
    }
    if (worst === "whole") return ["allowed", "ALLOWED", [...new Set(texts)].join("; ")];
    if (texts.length) return ["unknown", "IN PART", [...new Set(texts)].join("; ")];
    const never = data.ask.never.find((flow) => asked.some((one) => about(flow, ...sides, one)));
    if (never) return ["denied", "DENIED", `no flow declares it, and ${never.path} forbids one: ${never.text}`];
    return ["denied", "DENIED", `no flow declares it; this one would: {from: ${from}, to: ${to}, allow: ${Object.hasOwn(data.services, port) ? port : `a service of ${port}`}}`];
  }

  $("#ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const [from, to, port] = ["from", "to", "port"].map((name) => event.target.elements[name].value.trim());
    const [kind, word, text] = answer(from, to, port);
    const output = $("#answer");
    output.replaceChildren(make("b", word, {class: kind}), ` ${text} (by the declaration)`);
  });

  // -- keys --------------------------------------------------------------------------------------------------------

  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !drawer.hidden) return close();
    if (event.target.matches("input, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      "/": () => $("#ask input").focus(),
      "f": () => { show("matrix"); $("#filter").focus(); },
      "?": () => $("#keys").showModal(),
    }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
})();
