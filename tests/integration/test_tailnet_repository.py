"""Tailscale from a package repository, as its vendor has one: signed, a suite for each release, and out of reach of the internet here."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import NET, PREFIX
from hosts.machine import ROOT, Machine, Play, run, started

#: Where the host has it; the role is told of it by this address.
PLACE, URL = "/opt/repository", "file:/opt/repository"
CONTROL = """\
Package: tailscale
Version: 1.98.9
Architecture: all
Maintainer: a stand-in <nobody@example.com>
Description: a stand-in for the vendor's package
"""


def make(folder: Path, home: Path) -> None:
    """A repository with the package, signed with a key of its own, whose public half lies where the vendor's does."""
    package = folder / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN" / "control").write_text(CONTROL)
    (package / "usr/sbin").mkdir(parents=True)
    (package / "usr/sbin/tailscaled").write_text("#!/bin/sh\n")
    suite = folder / "debian/dists/bookworm"
    (suite / "main/binary-amd64").mkdir(parents=True)
    run("dpkg-deb", "--root-owner-group", "--build", package, folder / "debian/tailscale.deb")
    data = (folder / "debian/tailscale.deb").read_bytes()
    entry = f"Filename: tailscale.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    packages = (CONTROL + entry + "\n").encode()
    (suite / "main/binary-amd64/Packages").write_bytes(packages)
    index = f" {hashlib.sha256(packages).hexdigest()} {len(packages)} main/binary-amd64/Packages\n"
    release = f"Codename: bookworm\nSuite: bookworm\nComponents: main\nArchitectures: amd64\nDate: Sun, 29 Nov 2026 00:00:00 UTC\nSHA256:\n{index}"
    (suite / "Release").write_text(release)
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
    run(*gpg, "--passphrase", "", "--quick-generate-key", "vendor@example.com", "rsa2048", "sign", "never")
    run(*gpg, "--clearsign", "--output", suite / "InRelease", suite / "Release")
    key = subprocess.run([*map(str, gpg), "--export"], capture_output=True, check=True).stdout
    (folder / "debian/bookworm.noarmor.gpg").write_bytes(key)


@pytest.fixture(name="host", scope="module")
def fixture_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("repository")
    make(folder, tmp_path_factory.mktemp("gpg") / "home")
    machine = Machine(f"{PREFIX}-tp", f"10.{NET}.7", 1, "bookworm")
    machine.options = ["-v", f"{folder}:{PLACE}:ro"]
    with started([machine]):
        machine.shell("rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*; chmod 644 /etc/os-release")
        yield machine


def install(host: Machine, **variables: Any) -> list[dict[str, Any]]:
    """What the role's tasks say that install from a repository."""
    task = {
        "ansible.builtin.include_role": {"name": "bulkhead.tiers.tailnet", "tasks_from": "repository"},
        "vars": {"tailnet_repository": URL, **variables},
    }
    return [said for _task, said in Play(host.name, host.inventory(), [task]).results()]


def is_installed(host: Machine) -> bool:
    return host.shell("dpkg-query --show --showformat '${Version}' tailscale 2>/dev/null", check=False) == "1.98.9"


@pytest.mark.whole
def test_a_package_that_another_key_has_signed_is_not_installed(host: Machine) -> None:
    said = install(host, tailnet_repository_key=str(ROOT / "COPYING"))
    assert said[-1].get("failed") and not is_installed(host)
    host.shell("rm /usr/share/keyrings/tailscale-archive-keyring.gpg")


def test_the_package_of_the_hosts_own_release_is_installed_and_a_second_run_changes_nothing(host: Machine) -> None:
    said = install(host)
    assert not any(one.get("failed") for one in said), said
    assert is_installed(host)
    listed = host.shell("cat /etc/apt/sources.list.d/tailscale.list").strip()
    assert listed == f"deb [signed-by=/usr/share/keyrings/tailscale-archive-keyring.gpg] {URL}/debian bookworm main"
    assert not any(one.get("changed") for one in install(host))
