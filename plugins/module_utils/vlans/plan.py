# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What takes a host from the files and interfaces that it has to those that are wanted, and back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.host import Link, is_up, names_in, stack_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.render import (
    IFUPDOWN,
    NETPLAN,
    NETWORKD,
    PREFIX,
    File,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.wanted import Wanted


@dataclass(frozen=True)
class Plan:
    """old, new: the files of ours. stack: the one that is wanted. down: interfaces that go, or are made anew; up: interfaces that
    come up, or come up again; both are in force in reverse when the change is taken back."""

    old: Mapping[str, File]
    new: Mapping[str, File]
    stack: str
    parent: str = ""
    down: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    old_names: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return dict(self.old) == dict(self.new) and not self.down and not self.up

    def forward(self) -> tuple[list[list[str]], list[list[str]]]:
        """The commands before the new files are written, and after that."""
        return _down(stack_of(self.old), self.down), self._up(self.stack, self.up, self.down)

    def backward(self) -> tuple[list[list[str]], list[list[str]]]:
        """The same for the old files."""
        again = tuple(name for name in self.old_names if name in self.down or name in self.up)
        return _down(self.stack, self.up), self._up(stack_of(self.old), again, self.up)

    def _up(self, stack: str, names: tuple[str, ...], gone: tuple[str, ...]) -> list[list[str]]:
        """The commands after files were written, for the interfaces that come up; those in `gone` are not there any more."""
        # Each of the two has to read its files anew, also where they are no more.
        stacks = (stack_of(self.old), self.stack)
        commands: list[list[str]] = []
        if NETPLAN in stacks:
            commands.append(["netplan", "apply"])
        elif NETWORKD in stacks:
            commands.append(["networkctl", "reload"])
            # networkd makes a VLAN when it configures the parent, which it does by itself only where a file of that has changed.
            if stack == NETWORKD and (self.old == self.new or not set(gone).isdisjoint(names)):
                commands.append(["networkctl", "reconfigure", self.parent])
        if stack == IFUPDOWN:
            commands += [["ifup", name] for name in names]
        return commands


def make(
    wanted: Wanted, old: Mapping[str, File], new: Mapping[str, File], stack: str, links: Mapping[str, Link]
) -> Plan:
    """The plan of a host. Refused where an interface of others has the name of a wanted one."""
    before, after = names_in(old), [vlan.name for vlan in wanted.vlans]
    _check_names(wanted, before, links)
    changed = {name for name in after if _part(old, name) != _part(new, name)}
    broken = {vlan.name for vlan in wanted.vlans if not is_up(links.get(vlan.name), wanted, vlan)}
    # ifupdown and netplan have one file for all: an interface that is as it should be stays up.
    up = [name for name in after if name in changed | broken]
    down = [name for name in before if name in links and (name not in after or name in up)]
    return Plan(old, new, stack, wanted.parent, tuple(down), tuple(up), tuple(before))


def _check_names(wanted: Wanted, own: Collection[str], links: Mapping[str, Link]) -> None:
    mistakes = [
        Mistake(
            f"vlans ({vlan.tier or vlan.id})",
            f"an interface {vlan.name} that this collection has not made",
            "none of that name",
            f"remove it where it is configured (`ip link delete {vlan.name}` until the next boot), or give the tier another name in "
            "`names`",
            "foreign",
        )
        for vlan in wanted.vlans
        if vlan.name in links and vlan.name not in own
    ]
    if mistakes:
        raise Refused(mistakes)


def _part(files: Mapping[str, File], name: str) -> list[str]:
    """What files of ours say of one interface, whatever the stack."""
    found = []
    for path, file in files.items():
        if path.endswith((f"{PREFIX}{name}.netdev", f"{PREFIX}{name}.network")):
            found.append(file.text)
            continue
        inside = False
        for line in file.text.splitlines():
            if line in (f"auto {name}", f'    "{name}":'):
                inside = True
            elif line.startswith(("auto ", '    "')):
                inside = False
            if inside and line:
                found.append(line)
    return found


def _down(stack: str, names: tuple[str, ...]) -> list[list[str]]:
    commands = [["ifdown", "--force", name] for name in names] if stack == IFUPDOWN else []
    # ifdown does it too, where it knows the interface.
    return [*commands, *(["ip", "link", "delete", "dev", name] for name in names)]


def render_diff(plan: Plan) -> list[dict[str, str]]:
    """Each file before and after, and the interfaces that are not as their files say."""
    found = []
    for path in sorted({*plan.old, *plan.new}):
        old, new = plan.old.get(path), plan.new.get(path)
        if old != new:
            texts = {"before": old.text if old else "", "after": new.text if new else ""}
            found.append({**texts, "before_header": path, "after_header": path})
    if plan.old == plan.new and plan.up:
        after = "".join(f"{name}: as its file says\n" for name in plan.up)
        before = "".join(f"{name}: not as its file says\n" for name in plan.up)
        found.append({"before": before, "after": after, "before_header": "interfaces", "after_header": "interfaces"})
    return found
