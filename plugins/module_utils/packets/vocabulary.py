# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words of iptables, once: chains, protocols, types of ICMP, options and how many values each takes; and a line's words.

Sources: the extensions of iptables 1.8 (libxtables, libipt_*, libip6t_*), its add_param_to_argv for the words of a
line, and xtables_save_string for how iptables-save quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: The filter table's own chains.
BUILTIN = ("INPUT", "FORWARD", "OUTPUT")

PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "rsvp": 46, "gre": 47,
    "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "ospf": 89, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115,
    "sctp": 132, "mh": 135, "ipv6-mh": 135, "udplite": 136,
}  # fmt: skip

#: {family: {name: "type" or "type/code"}}, in lower case; iptables-save prints the numbers.
ICMP_TYPES = {
    4: {
        "echo-reply": "0", "pong": "0", "destination-unreachable": "3", "network-unreachable": "3/0", "host-unreachable": "3/1",
        "protocol-unreachable": "3/2", "port-unreachable": "3/3", "fragmentation-needed": "3/4", "source-route-failed": "3/5",
        "network-unknown": "3/6", "host-unknown": "3/7", "network-prohibited": "3/9", "host-prohibited": "3/10",
        "tos-network-unreachable": "3/11", "tos-host-unreachable": "3/12", "communication-prohibited": "3/13",
        "host-precedence-violation": "3/14", "precedence-cutoff": "3/15", "source-quench": "4", "redirect": "5",
        "network-redirect": "5/0", "host-redirect": "5/1", "tos-network-redirect": "5/2", "tos-host-redirect": "5/3",
        "echo-request": "8", "ping": "8", "router-advertisement": "9", "router-solicitation": "10", "time-exceeded": "11",
        "ttl-exceeded": "11", "ttl-zero-during-transit": "11/0", "ttl-zero-during-reassembly": "11/1", "parameter-problem": "12",
        "ip-header-bad": "12/0", "required-option-missing": "12/1", "timestamp-request": "13", "timestamp-reply": "14",
        "address-mask-request": "17", "address-mask-reply": "18",
    },
    6: {
        "destination-unreachable": "1", "no-route": "1/0", "communication-prohibited": "1/1", "beyond-scope": "1/2",
        "address-unreachable": "1/3", "port-unreachable": "1/4", "failed-policy": "1/5", "reject-route": "1/6",
        "packet-too-big": "2", "time-exceeded": "3", "ttl-exceeded": "3", "ttl-zero-during-transit": "3/0",
        "ttl-zero-during-reassembly": "3/1", "parameter-problem": "4", "bad-header": "4/0", "unknown-header-type": "4/1",
        "unknown-option": "4/2", "echo-request": "128", "ping": "128", "echo-reply": "129", "pong": "129",
        "router-solicitation": "133", "router-advertisement": "134", "neighbor-solicitation": "135",
        "neighbour-solicitation": "135", "neighbor-advertisement": "136", "neighbour-advertisement": "136", "redirect": "137",
    },
}  # fmt: skip

#: The long spelling of an option, and another of the same -> the one that iptables-save prints.
SPELLINGS = {
    "--append": "-A", "--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d", "--protocol": "-p",
    "--in-interface": "-i", "--out-interface": "-o", "--fragment": "-f", "--match": "-m", "--jump": "-j", "--goto": "-g",
    "--set-counters": "-c", "--ipv4": "-4", "--ipv6": "-6", "--source-port": "--sport", "--destination-port": "--dport",
    "--source-ports": "--sports", "--destination-ports": "--dports",
}  # fmt: skip

#: Options of every rule, and how many values they take.
GENERIC = {"-s": 1, "-d": 1, "-p": 1, "-i": 1, "-o": 1, "-f": 0, "-m": 1, "-j": 1, "-g": 1, "-c": 2, "-4": 0, "-6": 0}


def _table(text: str) -> dict[str, dict[str, int]]:
    """Lines of NAME[,NAME...] and options without their dashes; a number is that of the values of those after it."""
    found: dict[str, dict[str, int]] = {}
    for line in text.split("\n"):
        names, *words = line.split() or [""]
        options, values = {}, 1
        for word in words:
            if word.isdigit():
                values = int(word)
            else:
                options["--" + word] = values
        found.update(dict.fromkeys(names.split(","), options))
    return found


#: {module of -m: {option: how many values}}.
MATCHES = _table("""
addrtype src-type dst-type 0 limit-iface-in limit-iface-out
ah ahspi ahlen 0 ahres
bpf bytecode object-pinned
cgroup cgroup path
cluster cluster-total-nodes cluster-local-node cluster-local-nodemask cluster-hash-seed
comment comment
condition condition
connbytes connbytes connbytes-dir connbytes-mode
connlabel label 0 set
connlimit connlimit-upto connlimit-above connlimit-mask 0 connlimit-saddr connlimit-daddr
connmark,mark mark
conntrack ctstate ctproto ctorigsrc ctorigdst ctreplsrc ctrepldst ctorigsrcport ctorigdstport ctreplsrcport ctrepldstport ctstatus ctexpire ctdir
cpu cpu
dccp sport dport dccp-types dccp-option
devgroup src-group dst-group
dscp dscp dscp-class
dst dst-len dst-opts 0 dst-not-strict
ecn ecn-ip-ect 0 ecn-tcp-cwr ecn-tcp-ece
esp espspi
eui64
frag fragid fraglen 0 fragres fragfirst fragmore fraglast
geoip src-cc source-country dst-cc destination-country
hashlimit hashlimit hashlimit-upto hashlimit-above hashlimit-burst hashlimit-mode hashlimit-srcmask hashlimit-dstmask hashlimit-name \
hashlimit-htable-size hashlimit-htable-max hashlimit-htable-expire hashlimit-htable-gcinterval hashlimit-rate-interval 0 hashlimit-rate-match
hbh hbh-len hbh-opts 0 hbh-not-strict
helper helper
hl hl-eq hl-lt hl-gt
icmp icmp-type
icmp6,icmpv6,ipv6-icmp icmpv6-type
iprange src-range dst-range
ipv6header header 0 soft
ipvs vproto vaddr vport vdir vmethod vportctl 0 ipvs
length length
limit limit limit-burst
mac mac-source
mh,ipv6-mh mh-type
multiport sports dports ports
nfacct nfacct-name
osf genre ttl log
owner uid-owner gid-owner 0 socket-exists suppl-groups
physdev physdev-in physdev-out 0 physdev-is-in physdev-is-out physdev-is-bridged
pkttype pkt-type
policy dir pol reqid spi proto mode tunnel-src tunnel-dst 0 strict next
quota quota
realm realm
recent seconds hitcount name mask 0 set rcheck update remove reap rttl rsource rdest
rpfilter 0 loose validmark accept-local invert
rt rt-type rt-segsleft rt-len rt-0-addrs 0 rt-0-res rt-0-not-strict
sctp sport dport 2 chunk-types
set 2 match-set 1 packets-eq packets-lt packets-gt bytes-eq bytes-lt bytes-gt 0 return-nomatch update-counters update-subcounters
socket 0 transparent nowildcard restore-skmark
srh srh-next-hdr srh-hdr-len-eq srh-hdr-len-gt srh-hdr-len-lt srh-segs-left-eq srh-segs-left-gt srh-segs-left-lt srh-last-entry-eq \
srh-last-entry-gt srh-last-entry-lt srh-tag srh-psid srh-nsid srh-lsid
state state
statistic mode probability every packet
string from to algo string hex-string 0 icase
tcp sport dport tcp-option 0 syn 2 tcp-flags
tcpmss mss
time timestart timestop datestart datestop monthdays weekdays 0 contiguous utc localtz kerneltz
tos tos
ttl ttl-eq ttl-lt ttl-gt ttl
u32 u32
udp,udplite sport dport
""")

#: {target: {option: how many values}}.
TARGETS = _table("""
ACCEPT,DROP,RETURN,QUEUE,NOTRACK,TRACE,DELUDE
AUDIT type
CHECKSUM 0 checksum-fill
CLASSIFY set-class
CLUSTERIP hashmode clustermac total-nodes local-node hash-init 0 new
CONNMARK set-xmark set-mark and-mark or-mark xor-mark nfmask ctmask mask left-shift-mark right-shift-mark 0 save-mark restore-mark
CONNSECMARK 0 save restore
CT helper timeout ctevents expevents zone zone-orig zone-reply 0 notrack
DNAT to-destination 0 random persistent
DNPT,SNPT src-pfx dst-pfx
DSCP set-dscp set-dscp-class
ECN ecn-tcp-cwr ecn-tcp-ece ecn-ip-ect 0 ecn-tcp-remove
HL hl-set hl-dec hl-inc
HMARK hmark-tuple hmark-mod hmark-offset hmark-src-prefix hmark-dst-prefix hmark-sport-mask hmark-dport-mask hmark-spi-mask hmark-proto-mask hmark-rnd
IDLETIMER timeout label 0 alarm
LED led-trigger-id led-delay 0 led-always-blink
LOG log-level log-prefix 0 log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode
MARK set-xmark set-mark and-mark or-mark xor-mark
MASQUERADE to-ports 0 random random-fully
NETMAP to
NFLOG nflog-group nflog-prefix nflog-range nflog-size nflog-threshold
NFQUEUE queue-num queue-balance 0 queue-bypass queue-cpu-fanout
RATEEST rateest-name rateest-interval rateest-ewmalog
REDIRECT to-ports 0 random
REJECT reject-with
SECMARK selctx
SET timeout 2 add-set del-set map-set 0 exist map-mark map-prio map-queue
SNAT to-source 0 random random-fully persistent
SYNPROXY wscale mss 0 sack-perm timestamp
TARPIT 0 tarpit honeypot reset
TCPMSS set-mss 0 clamp-mss-to-pmtu
TCPOPTSTRIP strip-options
TEE gateway oif
TOS set-tos and-tos or-tos xor-tos
TPROXY on-port on-ip tproxy-mark
TTL ttl-set ttl-dec ttl-inc
ULOG ulog-nlgroup ulog-prefix ulog-cprange ulog-qthreshold
""")

#: Modules that let some of the packets through and not others.
RATES = frozenset(["limit", "hashlimit", "recent", "connlimit", "statistic", "quota", "connbytes", "nfacct", "rateest"])
#: These look for a header that an ordinary, whole packet does not carry; without one they do not match, negated or not.
EXTENSION_HEADERS = frozenset(["frag", "rt", "hbh", "dst", "srh"])
#: Modules that match, by themselves, every packet that may meet their options.
PLAIN = frozenset(
    "tcp udp udplite sctp dccp icmp icmp6 icmpv6 ipv6-icmp multiport conntrack state addrtype comment iprange".split()
)
#: Options whose value iptables-save prints without quotes, whatever blanks and words are in it.
UNQUOTED = frozenset(
    "--name --match-set --hashlimit-name --condition --genre --label --rateest-name --selctx --add-set --del-set".split()
)
#: Of their modules those that print something behind it, so that a value of several words is seen.
CLOSED = frozenset(["recent", "set"])
FLAGS = frozenset(["FIN", "SYN", "RST", "PSH", "ACK", "URG"])

#: iptables takes these for verdicts even where a chain bears the name; every other name is a chain's first.
VERDICTS = frozenset(["ACCEPT", "DROP", "RETURN", "QUEUE"])
#: No verdict on the packet itself (iptables-extensions(8)); a mark they set is read by a match that is not modelled.
NO_VERDICT = frozenset(
    "LOG NFLOG ULOG AUDIT MARK CONNMARK TOS DSCP TTL HL TCPMSS CHECKSUM CLASSIFY SET SECMARK CONNSECMARK TRACE TEE IDLETIMER"
    " RATEEST TCPOPTSTRIP ECN HMARK LED".split()
)
#: Targets that change where a packet goes to.
TRANSLATIONS = frozenset(["DNAT", "REDIRECT", "NETMAP", "TPROXY"])


class Quoted(str):
    """A word that stood in quotes, as no option of iptables-save does."""

    __slots__ = ()


class Unclosed(ValueError):
    """A quote is open at the end of the line."""


_PLAIN = re.compile(r"[^ \t\n]+")
_WORD = re.compile(r'[ \t\n]+|"((?:[^"\\]|\\.)*)"|([^ \t\n"]+)|"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def words(line: str) -> list[str]:
    """A line's words as iptables-restore splits them: at blanks, tabs and line ends alone; between quotes a backslash takes
    the sign after it as it is, and the closing quote ends the word. Unclosed: a quote is open at the end.
    """
    if '"' not in line:
        return _PLAIN.findall(line)
    out: list[str] = []
    text = ""
    for found in _WORD.finditer(line):
        if found[1] is not None:
            out.append(Quoted(text + _ESCAPED.sub(r"\1", found[1])))
            text = ""
        elif found[2]:
            text += found[2]
        elif found[0] == '"':
            raise Unclosed(line)
        elif text:
            out.append(text)
            text = ""
    return [*out, text] if text else out


_NOTE = re.compile(r"# (?:Table .* incompatible|Warning: .* present)")
#: How a line of its own begins, in the output of iptables-save.
_OWN_LINE = re.compile(r"(-A |\[\d+:\d+\] -A |:|\*|#|COMMIT$)")


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of each line of iptables-save that is not empty, without the blanks before it.

    iptables-save prints a line end inside a value as it is, between the value's quotes: such a value goes on in the next
    line. Where the line after an open quote could as well be one of its own, the quote is left open (`words` refuses it).
    """
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        first, line = number + 1, lines[number].lstrip(" \t")
        number += 1
        if '"' in line and line[0] not in "#:*":
            while is_open(line) and number < len(lines) and not _OWN_LINE.match(lines[number]):
                line += "\n" + lines[number]
                number += 1
        if line.endswith("\r"):  # on its way a text may have got the line ends of another system
            line = line[:-1]
        if line:
            yield first, line


def notes(text: str) -> list[str]:
    """What iptables-save says that is in force and not in its output: tables that only nft can show, legacy tables."""
    return [line[2:] for line in text.split("\n") if _NOTE.match(line)]


def is_open(line: str) -> bool:
    """Whether a quote is open at the line's end."""
    if "\\" not in line:
        return bool(line.count('"') & 1)
    try:
        words(line)
    except Unclosed:
        return True
    return False
