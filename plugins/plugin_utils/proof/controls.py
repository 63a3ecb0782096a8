# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controls of a host: probes of its own sockets, over its loopback device, which no filter is to stop.

A silence at a socket counts only where the host itself was answered there. Controls are sent with the host's other probes,
so that a listener does not bring a prober with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Listening, Socket
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import Port

#: One job of a host, and its own result.
Pair = tuple[Job, Result]


def controls_of(name: str, number: int, said: Listening, ports: Collection[Port]) -> list[Job]:
    """A job for each socket that the host's listener, or a service that was there before, should have.

    number: of the host, so that the jobs' ids are unique in the run. ports: what it was asked to listen on.
    """
    services = {one.socket for one in said.services}
    wanted = {Socket(proto, own.address, port) for own in said.addresses for proto, port in ports}
    wanted.difference_update(one.socket for one in said.unusable)
    return [
        Job(
            f"{number}/self/{count}",
            one.proto,
            one.address,
            one.port,
            host=name,
            listening=True,
            service=one in services,
            again=one not in services or _is_heard(one, said),
        )
        for count, one in enumerate(sorted(wanted | services))
    ]


def _is_heard(one: Socket, said: Listening) -> bool:
    """Whether an answer at a service's socket is expected: a connection is, and one to a datagram where the listener's raw
    socket answers for the service."""
    return one.proto == "tcp" or said.hears.passed


def served(pairs: Iterable[Pair]) -> set[Socket]:
    """The sockets of a host's listener at which something else than it answers the host itself as well: the host translates
    the port, as a Swarm's ingress does without a socket of its own, or a service came after the listener. What answers there
    is a service like one that was there before. pairs: the host's controls, `judge.checked`."""
    return {_socket(job) for job, result in pairs if _by_a_service(job, result)}


def as_service(job: Job, result: Result, sockets: Collection[Socket]) -> Result:
    """The result of a probe: a connection, where one of these sockets took it, as it is one where a service was known before.
    What answers in the name of a listener, under a wrong code or at another place, stays what it is."""
    if not _by_a_service(job, result) or _socket(job.arriving) not in sockets:
        return result
    return result._replace(verdict=Verdict.ALLOWED, detail="connected to what answers there, which is not the listener")


def _by_a_service(job: Job, result: Result) -> bool:
    """Whether a connection was made with something that knows no nonces."""
    unsigned = not (result.by or result.mac)
    return job.proto == "tcp" and not job.service and result.verdict is Verdict.MISDIRECTED and unsigned


def silent(pairs: Iterable[Pair]) -> dict[Socket, str]:
    """{socket: why} of those that did not answer the host itself. pairs: its controls, `judge.checked`."""
    found = {}
    for job, result in pairs:
        if result.verdict is not Verdict.ALLOWED and not _by_a_service(job, result):
            detail = " ".join(filter(None, [result.verdict.value, result.detail]))
            found[_socket(job)] = f"a probe from the host itself: {detail}"
    return found


def never_sent(controls: Iterable[Job]) -> dict[Socket, str]:
    """{socket: why} of a host that did not probe."""
    return {_socket(job): "the host did not probe itself" for job in controls}


def is_absent(job: Job, result: Result, silences: Mapping[Socket, str], ports: Collection[Port]) -> bool:
    """Whether a probe that was not answered met a port at which nothing is: what the host listed as bound does not answer
    the host itself (a socket for IPv6 alone, or for another device), and its listener was not asked to be there.

    silences: of the host that the probe was sent to; ports: that its listener was asked to have.
    """
    where = _socket(job.arriving)
    return result.verdict is not Verdict.ALLOWED and where in silences and (where.proto, where.port) not in ports


def _socket(job: Job) -> Socket:
    return Socket(job.proto, job.dest, job.port)
