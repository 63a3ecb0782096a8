# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether ufw's files, as they will be, are loaded at the next start of ufw: one line that is not, and all of that file's
rules are missing behind a policy of DROP. Asked of iptables-restore itself before anything is written, while ufw is off
too. Imported where something changes."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import FRAMEWORK, RULES, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import start_loading
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import Plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.startup import Boot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State


def check_boot(host: Host, state: State, plan: Plan) -> list[str]:
    """RulesetError where a file that ufw loads at its next start could not be loaded; with ufw off, a warning about
    those that are not written now."""
    texts = {**state.texts, **plan.files}
    enabled = plan.switch == "enable" or (state.active and plan.switch != "disable")
    checks = []
    for family, kernel in state.kernel.items():
        if family == 6 and not (plan.goal.ipv6 and state.has_ipv6):
            continue
        # While ufw is on, the kernel shows that it took its files, unless it differs from them; the rules that are new are
        # in the payload, which is tested as well.
        tested = not state.active or plan.files_differ
        names = [name for name in FRAMEWORK[family] if tested or name in plan.files]
        if RULES[family] in plan.files and not state.active:
            names.append(RULES[family])
        checks += [(name, start_loading(host, family, name, texts[name], kernel.chains)) for name in names]
    found = [(name, problem()) for name, problem in checks]
    problems = [text for name, text in found if text and (enabled or name in plan.files)]
    if problems:
        raise RulesetError(
            "; ".join(problems) + "; ufw would lose this file at its next start, and so at the next boot; nothing was "
            "changed: repair it"
        )
    return [f"{text}; ufw will lose this file when it is switched on: repair it" for _name, text in found if text]


def write_files(host: Host, boot: Boot) -> None:
    """The files of the boot. They say nothing of the ruleset, and need no confirmation."""
    guard = Guard(host.root, host.run)
    try:
        for name, text in boot.files:
            guard.write(name, text, 0o644)
    except OSError as error:
        raise RulesetError(f"a file for the next boot cannot be written: {error}; nothing was changed") from error


def run_commands(host: Host, boot: Boot) -> None:
    """The commands, where nothing else has to be confirmed first."""
    for argv in boot.commands:
        done = host.run(list(argv))
        if done.status:
            raise RulesetError(f"`{' '.join(argv)}` failed (status {done.status}): {(done.err + done.out).strip()}")
