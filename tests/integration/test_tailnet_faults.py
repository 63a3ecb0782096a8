"""What a tailnet outlives, and what brings a node back: a control server that is down, a tailscaled that starts anew, a node
that was deleted there, a key that has expired. Headscale and tailscaled are the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hosts import NET, PREFIX
from hosts.machine import Play, wait
from tailnet import Headscale, Node, tailnet

POLICY = {
    "groups": {"group:people": ["lab@"]},
    "tagOwners": {"tag:web": []},
    "grants": [{"src": ["tag:web", "group:people"], "dst": ["tag:web", "group:people"], "ip": ["tcp:22"]}],
}


class Place(NamedTuple):
    """A server, which has a tag, and a desk, which is a person's."""

    control: Headscale
    server: Node
    desk: Node

    def join(self, node: Node) -> dict[str, Any]:
        """What the role does with a node, with a key that no node has used before."""
        tags = ["tag:web"] if node is self.server else []
        task = {"login_server": node.control, "auth_key": self.control.key(tags=tags), "netfilter_mode": "nodivert"}
        if tags:
            task["advertise_tags"] = tags
        ((_task, said),) = Play(node.name, node.inventory(), [{"bulkhead.tiers.tailscale_node": task}]).results()
        return said

    def reach(self) -> bool:
        """Whether each reaches the other's SSH over the tailnet, at the address that it has now."""
        return all(
            source.reaches(dest.address(), 22) == "open"
            for source, dest in ((self.server, self.desk), (self.desk, self.server))
        )


@pytest.fixture(name="place", scope="module")
def fixture_place() -> Iterator[Place]:
    with tailnet(f"{PREFIX}-tf", f"10.{NET}.5", ["bookworm", "trixie"]) as (control, (server, desk)):
        control.user("lab")
        control.set_policy(POLICY)
        place = Place(control, server, desk)
        for node in (server, desk):
            said = place.join(node)
            assert said["changed"] and said["state"] == "Running", said
        yield place


@pytest.fixture(autouse=True)
def fixture_whole(place: Place) -> Iterator[None]:
    """Every test begins, and ends, with a tailnet that works."""
    wait(place.reach, 60, what="the nodes reach each other")
    yield
    place.control.serve()
    for node in (place.server, place.desk):
        node.daemon("start")
        if node.state() != "Running":
            place.join(node)
    wait(place.reach, 60, what="the nodes reach each other again")


def test_a_node_that_has_joined_is_left_alone_and_its_key_is_not_used(place: Place) -> None:
    for node in (place.server, place.desk):
        said = place.join(node)
        assert (said["changed"], said["actions"]) == (False, []), said


def test_nodes_reach_each_other_and_a_run_changes_nothing_while_the_control_server_is_down(place: Place) -> None:
    key_was_made = place.control.key(tags=["tag:web"])
    assert key_was_made
    place.control.stop()
    assert place.reach()
    task = {"login_server": place.server.control, "auth_key": key_was_made, "netfilter_mode": "nodivert"}
    play = Play(place.server.name, place.server.inventory(), [{"bulkhead.tiers.tailscale_node": task}])
    ((_task, said),) = play.results()
    assert said["changed"] is False, said


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_tailscaled_that_starts_anew_is_back_by_itself(place: Place, how: str) -> None:
    place.server.daemon(how)
    wait(lambda: place.server.answers() and place.server.state() == "Running", 60, what="it runs again")
    wait(place.reach, 60, what="the nodes reach each other")


def test_a_tailscaled_that_starts_anew_while_the_control_server_is_down_is_back_once_that_is(place: Place) -> None:
    place.control.stop()
    place.server.daemon("restart")
    wait(place.server.answers, 60, what="it answers")
    place.control.serve()
    wait(lambda: place.server.state() == "Running", 90, what="it runs again")
    wait(place.reach, 60, what="the nodes reach each other")


def test_a_node_that_was_deleted_on_the_control_server_comes_back_with_the_next_run_and_its_tags(place: Place) -> None:
    place.control.delete(place.server.name)
    # It hears of it when it asks the control server again.
    place.server.daemon("restart")
    wait(lambda: place.server.answers() and place.server.state() == "NeedsLogin", 60, what="it is logged out")
    assert place.desk.reaches("100.64.0.1", 22, 2) == "blocked"
    said = place.join(place.server)
    assert said["changed"] and (said["state"], said["tags"]) == ("Running", ["tag:web"]), said


def test_a_node_whose_key_has_expired_comes_back_with_the_next_run(place: Place) -> None:
    place.control.expire(place.desk.name)
    wait(lambda: place.desk.state() == "NeedsLogin", 60, what="its key is not valid any more")
    said = place.join(place.desk)
    assert said["changed"] and said["state"] == "Running", said
