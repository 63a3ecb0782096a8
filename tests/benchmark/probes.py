# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long 10,000 probes take that nothing answers, in a network namespace whose filter drops all that comes in. Exit status 1 where
they take over 6 s. Needs root; leaves nothing.

    make bench        or        PYTHONPATH=.venv/collections:tests/support .venv/bin/python tests/benchmark/probes.py
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from namespaces import inside, run

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import TIMEOUT, probe_all

NAME, NUMBER, MOST = "bulkhead-bench-probes", 10000, 6.0
ADDRESSES = {4: "192.0.2.1", 6: "2001:db8::1"}


def main():
    run("ip", "netns", "add", NAME)
    failed = False
    try:
        run("ip", "-n", NAME, "link", "set", "lo", "up")
        for version, address in ADDRESSES.items():
            run("ip", "-n", NAME, "address", "add", f"{address}/{32 if version == 4 else 128}", "dev", "lo")
            run("ip", "netns", "exec", NAME, "iptables" if version == 4 else "ip6tables", "-A", "INPUT", "-j", "DROP")
        for proto in ("tcp", "udp"):
            for version, address in ADDRESSES.items():
                jobs = [Job(str(number), proto, address, 1000 + number) for number in range(NUMBER)]
                start = time.perf_counter()
                results = inside(NAME, lambda jobs=jobs: probe_all(jobs, "bench"))
                took = time.perf_counter() - start
                verdicts = Counter(result.verdict.value for result in results)
                print(
                    f"{NUMBER:,} {proto} probes over IPv{version}: {took:.1f} s (at most {MOST:.0f}), {dict(verdicts)}"
                )
                failed |= took > MOST or verdicts[Verdict.DROPPED.value] != NUMBER
    finally:
        run("ip", "netns", "delete", NAME)
    print(f"each waits {TIMEOUT} s for its answer")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
