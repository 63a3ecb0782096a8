"""Break engines under swarm_network: each time a clear error, and the next run finishes the work.

    tests/fault/swarm_network.py [NAME ...]

Makes two hosts of its own (tests/support/hosts) for each release, Debian 12 with Engine 20.10 and Debian 13 with 26.1: both are
managers of a Swarm, so that losing one loses the quorum. NAME is a fault below (``--list``); all of them without one.
Exit status 1 where one of them fails.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from hosts import NET, PREFIX, RELEASES
from hosts.engine import SERVICE_IMAGE, Hosts, result, wait

#: In /24: the ingress network and three more.
POOL = "10.78.0.0/22"
MANY = [{"name": f"many-{number}", "subnet": f"10.61.{number}.0/24"} for number in range(120)]
GONE = [{"name": network["name"], "state": "absent"} for network in MANY]
SHOP = {"name": "shop", "subnet": "10.60.1.0/24", "attachable": True}
MOVED = {**SHOP, "subnet": "10.60.4.0/23", "mtu": 1400}
#: How often the engine may leave something behind that holds a network, each time named with its remedy.
HELD = 3


def names(host):
    return host.docker("network", "ls", "--format", "{{.Name}}", check=False).split()


def must(condition, *said):
    """An assertion that no switch turns off."""
    if not condition:
        known = [item.get("msg", item) if isinstance(item, dict) else item for item in said]
        raise AssertionError(" ".join(str(item)[:2000] for item in known))


def kill_engine(host):
    """The engine ends at once, as in a crash; systemd does not bring it back."""
    host("systemctl", "mask", "--runtime", "docker.service")
    host("systemctl", "kill", "-s", "KILL", "docker.service", check=False)
    host("systemctl", "stop", "docker.socket", "docker.service")
    wait(lambda: not host.docker("info", "--format", "{{.ID}}", check=False), 30)


def revive_engine(host):
    host("systemctl", "unmask", "--runtime", "docker.service")
    host("systemctl", "reset-failed", "docker.service", check=False)
    host.start_engine()


def lead(hosts):
    """Wait until the Swarm has a leader that answers."""
    wait(lambda: "Leader" in hosts[0].docker("node", "ls", check=False), 90)
    wait(lambda: hosts[0].docker("network", "ls", "-q", "--filter", "name=ingress", check=False), 30)


def finishes(hosts, key, wanted, **arguments):
    """The next run finishes, and the one after it has nothing to do."""
    said = hosts[0].module(**arguments)
    must(not said["failed"] and said["changed"], said)
    must(not wanted or set(said[key]) & set(wanted), said)
    again = hosts[0].module(**arguments)
    must(not again["failed"] and not again["changed"], again)


def engine_stopped_in_a_create(hosts):
    run = hosts[0].module(networks=MANY, background=True)
    wait(lambda: "many-5" in names(hosts[0]), pause=0.02)
    kill_engine(hosts[0])
    said = result(run)
    must(said["failed"] and "create network many-" in said["msg"] and "Created so far: many-0" in said["msg"], said)
    must("run again for the rest" in said["msg"] and 5 < len(said["created"]) < 120, said)
    revive_engine(hosts[0])
    lead(hosts)
    finishes(hosts, "created", ["many-119"], networks=MANY)


def engine_stopped_in_a_remove(hosts):
    hosts[0].module(networks=MANY)
    run = hosts[0].module(networks=GONE, background=True)
    wait(lambda: "many-5" not in names(hosts[0]), pause=0.02)
    kill_engine(hosts[0])
    said = result(run)
    must(said["failed"] and "many-" in said["msg"] and "Removed so far: many-0" in said["msg"], said)
    revive_engine(hosts[0])
    lead(hosts)
    finishes(hosts, "removed", ["many-119"], networks=GONE)


def with_users(hosts):
    """A network with a service and a container on it."""
    hosts[0].module(networks=[SHOP])
    hosts[0].docker(
        *("service", "create", "--detach", "--no-resolve-image", "--endpoint-mode", "dnsrr", "--name", "web"),
        *("--network", "name=shop,alias=shop-web", "--replicas", "2", "--stop-grace-period", "1s"),
        *("--update-monitor", "1s", "--entrypoint", "/bin/sleep", SERVICE_IMAGE, "3600"),
    )
    hosts[0].docker(
        *(
            "run",
            "-d",
            "--name",
            "tool",
            "--restart",
            "always",
            "--network",
            "shop",
            "--ip",
            "10.60.1.77",
            "--network-alias",
            "hammer",
        ),
        *("--entrypoint", "/bin/sleep", SERVICE_IMAGE, "3600"),
    )
    wait(lambda: hosts[0].docker("service", "ls", "--format", "{{.Replicas}}") == "2/2")


def without_users(hosts):
    hosts[0].docker("service", "rm", "web", check=False)
    hosts[0].docker("rm", "-f", "tool", "stopped", check=False)
    gone = [{"name": name, "state": "absent"} for name in ("shop-moving", "shop")]
    must(not hosts[0].module(networks=gone, wait_timeout=90)["failed"])


def users_are_back(hosts, subnet="10.60.4.0/23"):
    """Both are on the new network alone, with alias and static address."""
    spec = "{{range .Spec.TaskTemplate.Networks}}{{.Target}} {{.Aliases}}{{end}}"
    shop = hosts[0].docker("network", "inspect", "shop", "--format", "{{.Id}}")
    must(hosts[0].docker("service", "inspect", "web", "--format", spec) == f"{shop} [shop-web]", "the service")
    ends = "{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{$end.NetworkID}} {{end}}"
    found = hosts[0].docker("inspect", "tool", "--format", ends)
    must(found.split() == ["shop", shop], "the container is on", found, "and shop is", shop)
    aliases = "{{.NetworkSettings.Networks.shop.Aliases}}"
    must("hammer" in hosts[0].docker("inspect", "tool", "--format", aliases), "the container's alias")
    config = hosts[0].docker("network", "inspect", "shop", "--format", "{{(index .IPAM.Config 0).Subnet}}")
    must(config == subnet and "shop-moving" not in names(hosts[0]), config, names(hosts[0]))


def migrate(subnet):
    return {"networks": [{**MOVED, "subnet": subnet}], "recreate": "migrate"}


def stands(hosts, step):
    """Whether the migration has come to a step, or is past it: between the removal and the creation of 'shop' are some ms,
    which a busy machine may not see."""
    if step == 1:
        return "shop-moving" in names(hosts[0])
    config = hosts[0].docker("network", "inspect", "shop", "--format", "{{(index .IPAM.Config 0).Subnet}}", check=False)
    return config == "10.60.0.0/22" or (step == 2 and not config)


def engine_stopped_in_a_migrate(hosts):
    """At three of its steps. The static address lies in the old and in the new subnet."""
    for step in (1, 2, 3):
        with_users(hosts)
        run = hosts[0].module(background=True, **migrate("10.60.0.0/22"))
        wait(lambda step=step: stands(hosts, step), pause=0.02)
        if step != 2:
            time.sleep(4)
        kill_engine(hosts[0])
        said = result(run)
        must(said["failed"] and said["changed"] and "The migration of 'shop' stands at step" in said["msg"], said)
        print(f"    {said['msg'][said['msg'].index('The migration') :]}")
        revive_engine(hosts[0])
        lead(hosts)
        wait(lambda: hosts[0].docker("service", "ls", "--format", "{{.Replicas}}") == "2/2")
        refused = hosts[0].module(networks=[{**MOVED, "subnet": "10.60.0.0/22"}])
        must(refused["failed"] and "set recreate: migrate" in refused["msg"], refused)
        finished = hosts[0].module(wait_timeout=90, **migrate("10.60.0.0/22"))
        for _held in range(HELD):
            if not finished["failed"]:
                break
            # The engine tried to start the container while its network was away, and left an attachment behind: a busy one
            # does so once more as it is restarted. Or it was not ready yet to attach one ("context deadline exceeded"):
            # then nothing but the next run is asked for.
            must("stands at step" in finished["msg"] and "container" in finished["msg"], finished)
            print(f"    {finished['msg']}")
            if "a restart of that node's engine ends it" in finished["msg"]:
                hosts[0]("systemctl", "restart", "docker")
                lead(hosts)
                wait(lambda: hosts[0].docker("service", "ls", "--format", "{{.Replicas}}") == "2/2")
            finished = hosts[0].module(wait_timeout=90, **migrate("10.60.0.0/22"))
        must(not finished["failed"] and finished["changed"], finished)
        again = hosts[0].module(wait_timeout=90, **migrate("10.60.0.0/22"))
        must(not again["failed"] and not again["changed"], again)
        if hosts[0].docker("inspect", "tool", "--format", "{{.State.Running}}") != "true":
            # The engine tries a container's start once, before the Swarm has told it of the overlay ("network ... not
            # found"), and then leaves it, whatever its restart policy. It moved as a stopped one does.
            said = str(finished.get("warnings"))
            must("docker start tool" in said, finished)
            print("    the engine had left the container stopped, and the module said so")
            try:
                hosts[0].docker("start", "tool")
            except RuntimeError as error:
                must(
                    "attaching to network failed" in str(error) and "a restart of this engine ends that" in said, error
                )
                print("    its start failed until the engine was restarted, which the module had said, too")
                hosts[0]("systemctl", "restart", "docker")
                lead(hosts)
                hosts[0].docker("start", "tool")
        users_are_back(hosts, "10.60.0.0/22")
        wait(lambda: hosts[0].docker("inspect", "tool", "--format", "{{.State.Running}}") == "true")
        address = "{{.NetworkSettings.Networks.shop.IPAddress}}"
        must(hosts[0].docker("inspect", "tool", "--format", address) == "10.60.1.77", "the static address")
        without_users(hosts)


def manager_lost_in_a_migrate(hosts):
    with_users(hosts)
    run = hosts[0].module(background=True, **migrate("10.60.0.0/22"))
    wait(lambda: stands(hosts, 1), pause=0.02)
    kill_engine(hosts[1])
    said = result(run)
    must(said["failed"] and "stands at step 1 of 4" in said["msg"], said)
    lost = hosts[0].module(**migrate("10.60.0.0/22"))
    must(lost["failed"] and "bring back more than half of the managers" in lost["msg"], lost)
    revive_engine(hosts[1])
    lead(hosts)
    wait(lambda: hosts[0].docker("service", "ls", "--format", "{{.Replicas}}") == "2/2")
    finishes(hosts, "migrated", ["shop"], **migrate("10.60.0.0/22"))
    users_are_back(hosts, "10.60.0.0/22")
    without_users(hosts)


def manager_lost_before_a_run(hosts):
    kill_engine(hosts[1])
    wait(lambda: not hosts[0].docker("node", "ls", check=False))
    for arguments in ({"networks": [SHOP]}, {"networks": [], "purge": True}):
        said = hosts[0].module(**arguments)
        must(said["failed"] and "whose swarm has no leader" in said["msg"], said)
    must("whose swarm has no leader" in hosts[0].module("swarm_cleanup", remove=True)["msg"], "cleanup")
    revive_engine(hosts[1])
    lead(hosts)
    finishes(hosts, "created", ["shop"], networks=[SHOP])
    without_users(hosts)


def name_held_by_a_stopped_container(hosts):
    hosts[0].module(networks=[SHOP])
    hosts[0].docker(
        "run", "-d", "--name", "stopped", "--network", "shop", "--entrypoint", "/bin/sleep", SERVICE_IMAGE, "60"
    )
    hosts[0].docker("stop", "-t", "0", "stopped")
    gone = {"networks": [{"name": "shop", "state": "absent"}]}
    for arguments in (gone, {"networks": [MOVED], "recreate": "if_unused"}):
        said = hosts[0].module(**arguments)
        must(said["failed"] and "in use by container stopped" in said["msg"], said)
        must("detach or remove these first" in said["msg"], said)
    # A migration takes it along, though nothing runs on the network: it must find the new one when it is started.
    finishes(hosts, "migrated", ["shop"], **migrate("10.60.0.0/22"))
    hosts[0].docker("start", "stopped")
    shop = hosts[0].docker("network", "inspect", "shop", "--format", "{{.Id}}")
    ends = "{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{$end.NetworkID}} {{end}}"
    found = hosts[0].docker("inspect", "stopped", "--format", ends)
    must(found.split() == ["shop", shop], "the container is on", found, "and shop is", shop)
    hosts[0].docker("rm", "-f", "stopped")
    finishes(hosts, "recreated", ["shop"], networks=[MOVED], recreate="if_unused")
    finishes(hosts, "removed", ["shop"], **gone)


def held_on_another_node(hosts):
    """A container elsewhere is foreseen, named with its node, and holds a removal and a migration."""
    hosts[0].module(networks=[SHOP])
    hosts[1].docker(
        *("run", "-d", "--name", "far", "--network", "shop", "--entrypoint", "/bin/sleep", SERVICE_IMAGE, "600")
    )
    for arguments in (
        {"networks": [{"name": "shop", "state": "absent"}]},
        {"networks": [MOVED], "recreate": "migrate"},
    ):
        for check in (True, False):
            said = hosts[0].module(check=check, **arguments)
            must(said["failed"] and f" on {hosts[1].name}" in said["msg"], said)
    hosts[1].docker("rm", "-f", "far")
    wait(lambda: not hosts[0].module(networks=[{"name": "shop", "state": "absent"}])["failed"], 60)


def pool_exhausted(hosts):
    open_ended = [{"name": f"pool-{number}"} for number in range(5)]
    said = hosts[0].module(networks=open_ended)
    must(said["failed"] and "address pool 10.78.0.0/22 has no free /24 left" in said["msg"], said)
    must(set(said["created"]) == {name for name in names(hosts[0]) if name.startswith("pool-")}, said)
    taken = said["created"]
    must(len(taken) == 3, taken)
    given = [
        {**network, **({} if network["name"] in taken else {"subnet": f"10.62.{number}.0/24"})}
        for number, network in enumerate(open_ended)
    ]
    finishes(hosts, "created", [], networks=given)
    finishes(hosts, "removed", taken, networks=[{"name": network["name"], "state": "absent"} for network in given])


def leftovers_of_a_removed_stack(hosts):
    stack = (
        f"version: '3.8'\nservices:\n  a:\n    image: {SERVICE_IMAGE}\n    entrypoint: /bin/sleep 3600\n    deploy:\n"
        "      endpoint_mode: dnsrr\n"
    )
    stack += "    networks: [free, held]\nnetworks:\n  free: {attachable: true}\n  held: {attachable: true}\n"
    hosts[0](
        "sh",
        "-c",
        "cat > /root/stack.yml; docker stack deploy --resolve-image never -c /root/stack.yml old",
        stdin=stack,
    )
    wait(lambda: "1/1" in hosts[0].docker("service", "ls", "--format", "{{.Replicas}}"))
    must(hosts[0].module("swarm_cleanup", remove=True)["leftovers"] == [], "a living stack has no leftovers")
    for name in ("free", "held"):
        hosts[1].docker(
            *("run", "-d", "--name", f"on-{name}", "--network", f"old_{name}", "--entrypoint", "/bin/sleep"),
            *(SERVICE_IMAGE, "600"),
        )
    hosts[0].docker("stack", "rm", "old", check=False)
    hosts[1].docker("rm", "-f", "on-free")
    listed = hosts[0].module("swarm_cleanup")
    must(not listed["changed"] and {left["name"] for left in listed["leftovers"]} == {"old_free", "old_held"}, listed)
    said = hosts[0].module("swarm_cleanup", remove=True)
    must(said["removed"] == ["old_free"] and "old_held" in names(hosts[0]), said)
    held = next(left for left in said["leftovers"] if left["name"] == "old_held")
    must(f" on {hosts[1].name}" in held["held_by"][0], held)
    hosts[1].docker("rm", "-f", "on-held")
    wait(lambda: hosts[0].module("swarm_cleanup", remove=True)["removed"] == ["old_held"], 60)
    must(hosts[0].module("swarm_cleanup", remove=True)["leftovers"] == [], "nothing is left")


FAULTS = (
    pool_exhausted,
    leftovers_of_a_removed_stack,
    name_held_by_a_stopped_container,
    held_on_another_node,
    engine_stopped_in_a_create,
    engine_stopped_in_a_remove,
    engine_stopped_in_a_migrate,
    manager_lost_before_a_run,
    manager_lost_in_a_migrate,
)


def break_all(release, chosen, rows):
    """Every fault in one pass on one release; a row (release, fault, seconds, whether it passed) for each."""
    with Hosts(f"{PREFIX}-swarm", [release, release], f"10.{NET}.3") as hosts:
        hosts.swarm(managers=2, pool=POOL)
        for fault in chosen:
            start = time.monotonic()
            try:
                fault(hosts)
                passed = True
            except (AssertionError, RuntimeError, LookupError):
                traceback.print_exc(limit=-3)
                passed = False
            rows.append((release, fault.__name__, time.monotonic() - start, passed))
            print(f"{release:9} {fault.__name__:34} {rows[-1][2]:5.0f} s  {'ok' if passed else 'FAILED'}", flush=True)
            if not passed:
                # What it left behind would fail the next ones for the wrong reason.
                return


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the names of the faults")
    parser.add_argument("--release", action="append", choices=RELEASES, help="the Debian of both hosts; default: each")
    options = parser.parse_args()
    known = {fault.__name__: fault for fault in FAULTS}
    if options.list:
        print("\n".join(known))
        return
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error("no such fault: " + ", ".join(sorted(unknown)))
    chosen = [known[name] for name in options.names or known]
    releases = options.release or RELEASES
    rows = []
    for release in releases:
        break_all(release, chosen, rows)
    passed = sum(row[3] for row in rows)
    print(f"\n{passed} of {len(chosen) * len(releases)} faults recovered, {sum(row[2] for row in rows):.0f} s")
    sys.exit(passed < len(chosen) * len(releases))


if __name__ == "__main__":
    main()
