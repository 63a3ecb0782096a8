# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a daemon.json says, what comes of a change, and what a change would lose."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import daemon_file
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_file import Holdings

FULL = Holdings("/srv/docker", "overlay2", containers=("db", "web"), volumes=1, images=4)


def merged(before, settings):
    return daemon_file.merge(before, settings)


def lost(before, settings, has=FULL, flags=()):
    found = list(daemon_file.losses(merged(before, settings), before, dict(flags), has))
    assert all(mistake.kind == daemon_file.LOSS for mistake in found)
    return [mistake.path for mistake in found]


def test_a_file_without_anything_in_it_has_no_settings():
    assert daemon_file.parse_config("", "f") == daemon_file.parse_config(" \n", "f") == ({}, [])


@pytest.mark.parametrize(
    ("text", "got", "remedy"),
    [
        ('{"debug": true} // mine', "f: got no JSON", "by hand"),
        ('{\n// mine\n"debug": true}', "f: got no JSON", "remove its comments"),
        ("{\n  # mine\n}", "f: got no JSON", "remove its comments"),
        ('{"debug": true,}', "f: got no JSON", "by hand"),
        ('{"a": NaN}', "f: got no JSON (NaN is no JSON)", "by hand"),
        ("[]", "f: got a list", "write {}"),
        ('{"debug": true, "debug": false}', "f: debug: got the key more than once", "remove all but one"),
        ('{"log-opts": {"tag": "a", "tag": "b"}}', "f: tag: got the key more than once", "remove all but one"),
        ('{"a": 1, "a\\u001b[2J": 2, "a\\u001b[2J": 3}', "f: a\\x1b[2J: got the key", "remove"),
    ],
)
def test_a_file_that_is_no_plain_json_object_is_refused_with_its_reason(text, got, remedy):
    (mistake,) = daemon_file.parse_config(text, "f")[1]
    assert str(mistake).startswith(got) and remedy in mistake.remedy


def test_settings_are_merged_key_by_key_and_null_removes_one():
    before = {"data-root": "/srv", "log-opts": {"tag": "x", "max-size": "1m"}, "dns": ["10.0.0.1"], "debug": True}
    after = merged(
        before, {"log-opts": {"max-size": "9m", "tag": None}, "dns": ["10.0.0.2"], "debug": None, "none": None}
    )
    assert after == {"data-root": "/srv", "log-opts": {"max-size": "9m"}, "dns": ["10.0.0.2"]}
    assert list(after) == ["data-root", "log-opts", "dns"] and before["debug"]


@pytest.mark.parametrize(
    ("before", "settings", "keys", "action"),
    [
        ({"debug": True}, {"debug": True}, [], "none"),
        ({"debug": 1}, {"debug": True}, ["debug"], "reload"),
        ({}, {"debug": False}, ["debug"], "reload"),
        ({}, {"live-restore": True, "labels": ["a=b"]}, ["labels", "live-restore"], "reload"),
        ({}, {"live-restore": True, "bip": "10.0.0.1/24"}, ["bip", "live-restore"], "restart"),
        ({"features": {"cdi": True}}, {"features": {"buildkit": True}}, ["features.buildkit"], "reload"),
        ({}, {"features": {"containerd-snapshotter": True}}, ["features.containerd-snapshotter"], "restart"),
        ({"log-opts": {"tag": "x"}}, {"log-opts": {"tag": "y"}}, ["log-opts"], "restart"),
    ],
)
def test_only_a_setting_that_needs_it_restarts_the_engine(before, settings, keys, action):
    assert daemon_file.changed_keys(before, merged(before, settings)) == keys
    assert daemon_file.action_for(keys, True) == action
    assert daemon_file.action_for(keys, False) == ("start" if keys else "none")


@pytest.mark.parametrize(
    ("before", "settings", "paths"),
    [
        ({"data-root": "/srv/docker"}, {"bip": "10.0.0.1/24"}, []),
        ({"data-root": "/srv/docker"}, {"data-root": None}, ["settings.data-root"]),
        ({"data-root": "/srv/docker"}, {"data-root": "/srv/docker/"}, []),
        ({"graph": "/srv/docker"}, {"bip": "10.0.0.1/24"}, []),
        ({"data-root": "/srv/docker"}, {"storage-driver": "overlay2"}, []),
        ({"data-root": "/srv/docker"}, {"storage-driver": "btrfs"}, ["settings.storage-driver"]),
        ({"data-root": "/srv/docker"}, {"userns-remap": "default"}, ["settings.userns-remap"]),
        ({"data-root": "/srv/docker"}, {"userns-remap": ""}, []),
        (
            {"data-root": "/srv/docker"},
            {"features": {"containerd-snapshotter": True}},
            ["settings.features.containerd-snapshotter"],
        ),
        ({"data-root": "/srv/docker"}, {"features": {"containerd-snapshotter": False}}, []),
        ({"data-root": "/srv/docker"}, {"containerd-namespace": "mine"}, ["settings.containerd-namespace"]),
        ({"data-root": "/srv/docker"}, {"exec-root": "/run/mine"}, ["settings.exec-root"]),
        # The file was changed by hand and waits for a restart, which would be ours.
        ({"data-root": "/srv/new"}, {"bip": "10.0.0.1/24"}, ["settings.data-root"]),
    ],
)
def test_what_the_engine_would_not_find_any_more_is_a_loss(before, settings, paths):
    assert lost(before, settings) == paths


def test_an_engine_without_anything_loses_nothing():
    assert (
        lost({}, {"data-root": "/new", "storage-driver": "vfs", "userns-remap": "x"}, Holdings("/old", "overlay2"))
        == []
    )


@pytest.mark.parametrize("has", [Holdings("/old", volumes=1), Holdings("/old", images=1), Holdings("/old", swarm=True)])
def test_volumes_images_and_a_swarm_are_lost_with_the_data_root_as_well(has):
    assert lost({"data-root": "/old"}, {"data-root": "/new"}, has) == ["settings.data-root"]


def test_a_data_root_of_the_command_line_counts():
    assert lost({}, {"bip": "10.0.0.1/24"}, flags={"data-root": ["/srv/docker"]}) == []
    assert lost({}, {"bip": "10.0.0.1/24"}) == ["settings.data-root"]


def test_a_user_namespace_of_another_user_is_a_loss_too():
    has = Holdings("/srv/docker", "overlay2", remapped=True, containers=("db",))
    before = {"data-root": "/srv/docker", "userns-remap": "default"}
    assert lost(before, {"debug": True}, has) == []
    assert (
        lost(before, {"userns-remap": "other"}, has)
        == lost(before, {"userns-remap": None}, has)
        == ["settings.userns-remap"]
    )


def test_many_containers_are_counted_and_named_in_part():
    text = str(Holdings(containers=tuple(f"c{number:02}" for number in range(14)), volumes=2, images=1, swarm=True))
    assert (
        text.startswith("14 containers (c00, ") and "c09 and 4 more), 2 volumes, 1 image, a Swarm node's state" in text
    )


def test_a_command_line_is_read_with_the_names_of_the_file():
    line = "-H fd:// --host=unix:///run/d.sock -Dg /srv --live-restore --label a=b --label c=d --data-root /srv2 -s=vfs --userland-proxy=false"
    assert daemon_file.parse_flags(line.replace("-Dg /srv", "-D -g /srv").split()) == {
        "hosts": ["fd://", "unix:///run/d.sock"],
        "debug": [""],
        "data-root": ["/srv", "/srv2"],
        "live-restore": [""],
        "labels": ["a=b", "c=d"],
        "storage-driver": ["vfs"],
        "userland-proxy": ["false"],
    }


def test_a_setting_of_the_command_line_may_not_be_written_as_well():
    flags = daemon_file.parse_flags(["-H", "fd://", "--registry-mirror", "https://m"])
    settings = {"hosts": ["unix:///x"], "registry-mirrors": None, "debug": True}
    assert [mistake.path for mistake in daemon_file.wrong_settings(settings, {}, flags)] == ["settings.hosts"]


def test_the_old_and_the_new_name_of_the_data_root_exclude_each_other():
    (mistake,) = daemon_file.wrong_settings({}, {"graph": "/a", "data-root": "/a"}, {})
    assert mistake.path == "settings.data-root"


def test_no_diff_shows_a_password():
    shown = daemon_file.shown(
        {
            "proxies": {"http-proxy": "http://me:word@proxy:3128"},
            "log-opts": {"splunk-token": "t0ken", "tag": "x"},
            "registry-mirrors": ["https://u:p@mirror"],
        }
    )
    assert not [word for word in ("word@", "t0ken", "u:p") if word in shown]
    assert json.loads(shown)["proxies"] == {"http-proxy": "http://***@proxy:3128"}


def test_what_is_written_keeps_the_order_and_every_letter():
    text = daemon_file.write_config({"b": 1, "a": "ü"})
    assert text == '{\n    "b": 1,\n    "a": "ü"\n}\n'
