# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller of somebody who has read the README and nothing else. Its commands are taken out of the README itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

import yaml

from .galaxy import Galaxy

CHECKOUT = Path(__file__).parents[3]
#: Seconds that one command of the README may take.
PATIENCE = 900


def blocks() -> list[list[str]]:
    """The indented blocks of the README's "On your own fleet", each as its lines without their comments."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## On your own fleet\n")[1].split("\n## ")[0]
    section = re.sub(r"^```.*?^```$", "", section, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"(?:^ {4}\S.*\n)+", section, flags=re.MULTILINE)
    return [[line.split("  #")[0].strip() for line in block.splitlines()] for block in found]


def commands(word: str, unless: str = "\n") -> list[str]:
    """The block of commands that has one with a word in it, and none with the other word."""
    (found,) = [block for block in blocks() if word in " ".join(block) and unless not in " ".join(block)]
    return found


def settings() -> str:
    """What the README says that ansible.cfg has."""
    return "\n".join(commands("[defaults]")) + "\n"


class Run(NamedTuple):
    """A command that has ended."""

    command: str
    status: int
    output: str

    def changed(self) -> set[tuple[str, str]]:
        """(task, host) of what it changed, or would."""
        found, task = set(), ""
        for line in self.output.splitlines():
            if named := re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\] \**$", line):
                task = named.group(1)
            elif host := re.match(r"changed: \[([^\] ]+)", line):
                found.add((task, host.group(1)))
        return found

    def totals(self) -> dict[str, dict[str, int]]:
        """{host: {what: how often}}."""
        found = re.findall(r"^(\S+)\s+: (ok=.*)$", self.output, re.MULTILINE)
        return {host: {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in found}

    def rules(self) -> list[str]:
        """The lines of rules that its diffs add (+) and remove (-)."""
        return sorted(line for line in self.output.splitlines() if re.match(r"[+-](allow|deny|reject|limit) ", line))


class Desk:
    """A folder with the README's ansible.cfg and an inventory, and a home of its own: what is installed on this machine's user counts for nothing."""

    def __init__(self, folder: Path, inventory: dict, site: dict, empty: bool) -> None:
        self.folder, self.home, self.empty = folder / "desk", folder / "home", empty
        self.checkout = folder / "tiers"
        self.programs = folder / "python" / "bin" if empty else Path(sys.executable).parent
        self.home.mkdir()
        variables = self.folder / "inventory" / "group_vars" / "all"
        variables.mkdir(parents=True)
        (self.folder / "ansible.cfg").write_text(settings())
        self.write(inventory)
        (variables / "site.yml").write_text(yaml.safe_dump(site))
        _copy_of_the_checkout(self.checkout)

    def write(self, inventory: dict) -> None:
        (self.folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def install(self) -> list[Run]:
        """What the README says: into an empty Python from a Galaxy, or without one beside what is installed."""
        if not self.empty:
            return [self.run(command, self.checkout.parent) for command in commands("--no-deps")]
        venv.create(self.programs.parent, with_pip=True)
        with Galaxy(_artifacts(self.checkout)) as galaxy:
            said = {"ANSIBLE_GALAXY_SERVER": galaxy.url}
            return [self.run(command, **said) for command in commands("ansible-galaxy", "--no-deps")]

    def run(self, command: str, folder: Path | None = None, **environment: str) -> Run:
        """A line of the README, in the shell."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
        own = {"HOME": str(self.home), "PATH": f"{self.programs}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder or self.folder,
            env={**kept, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Run(command, done.returncode, done.stdout)


def _copy_of_the_checkout(target: Path) -> None:
    """As `git clone` would make it, with what is not committed yet."""
    listed = ["git", "-C", str(CHECKOUT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0"):
        if name and (CHECKOUT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, target / name, follow_symlinks=False)


def _artifacts(checkout: Path) -> list[Path]:
    """The collection and those that it needs, with theirs, as artifacts: the latter from PyPI's `ansible`."""
    import ansible_collections

    made, wanted = [], {"bulkhead.tiers": checkout}
    needed = dict.fromkeys(yaml.safe_load((checkout / "galaxy.yml").read_text())["dependencies"])
    while needed:
        name = next(iter(needed))
        needed.pop(name)
        (source,) = [
            Path(place, *name.split("."))
            for place in ansible_collections.__path__
            if Path(place, *name.split("."), "MANIFEST.json").exists()
        ]
        about = json.loads((source / "MANIFEST.json").read_text())["collection_info"]
        copy = checkout.parent / "needed" / name
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("MANIFEST.json", "FILES.json", "__pycache__"))
        described = {key: value for key, value in about.items() if value not in (None, [])}
        described["license_file"] = None
        (copy / "galaxy.yml").write_text(yaml.safe_dump({key: described[key] for key in described if described[key]}))
        wanted[name] = copy
        needed |= dict.fromkeys(each for each in about["dependencies"] if each not in wanted)
    program = Path(sys.executable).parent / "ansible-galaxy"
    for source in wanted.values():
        output = ["--output-path", str(checkout.parent / "artifacts")]
        subprocess.run([program, "collection", "build", source, *output], check=True, capture_output=True)
    made += (checkout.parent / "artifacts").glob("*.tar.gz")
    return made
