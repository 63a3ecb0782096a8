# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random rules and translations of three hosts and the router between them:

ak-a (10.81.1.2) ---.
                     ak-r (10.81.x.1) --- ak-c (10.81.3.2)
ak-b (10.81.2.2) ---'
"""

from __future__ import annotations

PORTS = (22, 80, 443, 3000, 8080)
ADDRESSES = {"ak-a": "10.81.1.2", "ak-b": "10.81.2.2", "ak-r": "10.81.3.1", "ak-c": "10.81.3.2"}


def rules_of(draw, name, sources=None, ports=PORTS, nat=None):
    """A filter table, and on some a nat table. nat: the lines of another one."""
    sources = sources or [
        *(f"-s {address}" for address in ADDRESSES.values()),
        "-s 10.81.2.0/24",
        "! -s 10.81.1.0/24",
        "",
    ]
    ports = [
        *(f"-p tcp -m tcp --dport {port}" for port in ports),
        "-p tcp -m multiport --dports 22,3000:8080",
        "-p tcp",
        "",
    ]
    lines = ["*filter"]
    for chain in ("INPUT", "FORWARD", "OUTPUT"):
        lines.append(f":{chain} {draw.choice(['ACCEPT', 'ACCEPT', 'DROP'])} [0:0]")
    lines.append(":ours - [0:0]")
    for chain in ("INPUT", "FORWARD", "OUTPUT", "ours"):
        if chain != "ours" and draw.random() < 0.9:
            lines.append(f"-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
        for _number in range(draw.randrange(4)):
            target = draw.choice(["ACCEPT", "DROP", "REJECT", "RETURN", *(["ours"] if chain != "ours" else [])])
            state = draw.choice(["", "", " -m conntrack --ctstate NEW", " -m conntrack --ctstate DNAT"])
            lines.append(" ".join(f"-A {chain} {draw.choice(sources)} {draw.choice(ports)}{state} -j {target}".split()))
    if nat is not None:
        return "\n".join([*lines, "COMMIT", *nat, ""])
    lines += [
        "COMMIT",
        "*nat",
        ":PREROUTING ACCEPT [0:0]",
        ":INPUT ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":POSTROUTING ACCEPT [0:0]",
    ]
    if name == "ak-r":
        for _number in range(draw.randrange(3)):
            to = draw.choice(["10.81.3.2", "10.81.3.2:22", "10.81.2.2:80"])
            at = draw.choice(["-i leg1", "-m addrtype --dst-type LOCAL", "-d 10.81.3.1"])
            lines.append(f"-A PREROUTING {at} -p tcp -m tcp --dport {draw.choice(PORTS)} -j DNAT --to-destination {to}")
        if draw.random() < 0.5:
            lines.append(
                draw.choice(
                    [
                        "-A POSTROUTING -o leg3 -j MASQUERADE",
                        "-A POSTROUTING -s 10.81.1.0/24 -j SNAT --to-source 10.81.3.1",
                    ]
                )
            )
    elif name == "ak-c" and draw.random() < 0.6:
        lines.append(
            f"-A PREROUTING -p tcp -m tcp --dport {draw.choice(PORTS)} -j REDIRECT --to-ports {draw.choice(PORTS)}"
        )
    return "\n".join([*lines, "COMMIT", ""])
