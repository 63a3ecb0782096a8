# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the inventory declares, read on the controller: the bulkhead_* variables, the hosts' groups, each host's plan.

Ansible takes ``ansible_facts`` out of whatever a module returns, and they outrank role defaults, group_vars and
host_vars. A host that was taken over writes its own results, so it can set any of these variables. Nothing of it is
believed here: facts that have the name of one of our variables end the task, and values are templated without what
facts have set. Groups come from the inventory, a plan is compiled anew for each task that needs it.

Ansible runs every host of every task in a process of its own. What is compiled once is kept for the others in the
run's own temporary folder, by a hash of the declaration.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pickle
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, Optional, Protocol, TypeVar

from ansible import constants
from ansible.errors import AnsibleError

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.docker_user import runs_docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import SharedPlan, host_plan, shared_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import PREFIX, parse_site

#: The inventory group of the routers.
GATEWAY_GROUP = "gateway"

#: The tiers that have a role of their own name, over the role `tier` that all others get.
TIER_ROLES = ("management", "provisioning", "monitoring", "swarm_workers")

#: The kind of a Mistake about facts that would set variables.
INJECTED = "injected"

#: The variables of the collection's roles and playbooks, their internal ones included; a test holds it against roles/.
#: Whole names and no prefixes: a network interface is a fact by its name, and may well be called swarm_br0.
ROLE_VARIABLES = frozenset(
    """
    __allocate_engine __allocate_live __ask_begun __change_begun __cleanup_found __docker_engine __docker_engine_settings
    __firewall_declared __firewall_log __firewall_log_targets __firewall_logged __firewall_packages __firewall_rules
    __firewall_tailnet_address __gateway_files __monitoring_collector_addresses __monitoring_collects __monitoring_links
    __monitoring_own_addresses __monitoring_ports __monitoring_services __monitoring_tls_ports
    __networks_engine __networks_live __prove_begun __review_begun __stacks_all
    __stacks_beside __stacks_beside_files __stacks_compose __stacks_declared __stacks_deploy __stacks_deployed
    __stacks_differ __stacks_directory __stacks_down __stacks_environment __stacks_files __stacks_gone __stacks_lint
    __stacks_name __stacks_new __stacks_rm __stacks_sarif __stacks_sarif_directory __stacks_tasks __stacks_there
    __swarm_address __swarm_engine __swarm_first __swarm_labels __swarm_managers __swarm_nodes __swarm_started __tailnet_answer
    __tailnet_distribution __tailnet_forwards __tailnet_fresh __tailnet_here __tailnet_key_file __tailnet_keyring
    __tailnet_log __tailnet_names __tailnet_nodes __tailnet_package __tailnet_people __tailnet_plan __tailnet_policy __tailnet_present
    __tailnet_programs __tailnet_release __tailnet_restarts __tailnet_said __tailnet_settings __tailnet_suite
    __tailnet_unit __tier_plan __watch_begun change_accept
    change_directory change_gate change_proof change_reason change_run cleanup_remove docker_engine_address_pools docker_engine_allow_loss
    docker_engine_settings docker_networks_networks docker_networks_purge docker_networks_recreate
    docker_networks_temporary_subnet firewall_accept_lockout firewall_after firewall_confirm_over firewall_confirm_timeout
    firewall_default firewall_docker firewall_flush_established firewall_keep firewall_log_collector
    firewall_log_denied firewall_log_forward firewall_log_queue firewall_log_service firewall_log_targets firewall_log_tls
    firewall_logging firewall_nat firewall_purge firewall_rsyslog_validate firewall_rules firewall_ways
    gateway_sysctls gateway_ways monitoring_log_collector monitoring_log_rotate monitoring_log_service
    monitoring_log_sessions monitoring_log_tls
    prove_addresses prove_coverage prove_formats prove_outside prove_packets prove_report prove_report_directory prove_seed prove_static
    prove_timeout prove_ttl provisioning_maas_api_key provisioning_maas_delegate provisioning_maas_fabric
    provisioning_maas_url provisioning_maas_validate_certs provisioning_sysctls review_report
    review_report_directory stacks_compose_package stacks_deploy
    stacks_directory stacks_environment stacks_fail_on stacks_lint stacks_path stacks_purge stacks_registry_auth
    stacks_remove stacks_resolve_image stacks_sarif stacks_sarif_directory stacks_with_site swarm_default_addr_pool
    swarm_managers swarm_subnet_size tailnet_accept_cut tailnet_accept_dns tailnet_accept_routes tailnet_auth_key
    tailnet_binaries tailnet_distribution tailnet_exit_node tailnet_flags tailnet_hostname tailnet_joined
    tailnet_log_collector tailnet_log_queue tailnet_log_service tailnet_log_targets tailnet_log_tls tailnet_login_server
    tailnet_policy_ca tailnet_policy_client_id tailnet_policy_client_secret tailnet_policy_delegate
    tailnet_policy_dialect tailnet_policy_force tailnet_policy_token tailnet_policy_url tailnet_policy_validate_certs
    tailnet_port tailnet_renew_before tailnet_repository tailnet_repository_key tailnet_routes
    tailnet_rsyslog_validate tailnet_ssh tailnet_suite tailnet_sysctls tailnet_tags tailnet_use_exit_node tier_role watch_report
    watch_report_directory
    __change_judged __plan_found __prove_judged __awx_all_templates __awx_approval __awx_credential_types __awx_credential_urls __awx_definition
    __awx_inventory __awx_known __awx_node_tasks __awx_nodes __awx_notification __awx_proven __awx_sources __awx_templates
    __awx_tier_templates __awx_workflow awx_absent awx_approval_timeout awx_credential_inputs awx_credentials
    awx_execution_environment awx_forks awx_host awx_inventory_path awx_maas_inventory_path awx_more_templates
    awx_notification_headers awx_notification_url awx_operators awx_organization awx_playbooks awx_prefix
    awx_project_branch awx_project_credential awx_project_url awx_reviewers awx_rollback_branch awx_schedules
    awx_slices awx_surveys awx_token awx_update_secrets awx_validate_certs
    vlan_interfaces_addresses vlan_interfaces_confirm_timeout vlan_interfaces_names vlan_interfaces_parent vlan_interfaces_routes
    vlan_interfaces_stack vlan_interfaces_untagged vlan_interfaces_vlans
    """.split()
)

#: What Ansible itself provides: variables of the task, and functions of its templates. In a loop, facts that a result
#: brought stand before them. Some are AWX's, by which a slice is known, and whether a run may begin.
ANSIBLES_OWN = frozenset(
    "awx_job_template_name awx_project_revision awx_workflow_job_name change_rollback change_tiers change_until site_plan "
    "tower_job_template_name tower_workflow_job_name environment group_names groups hostvars inventory_dir inventory_file inventory_hostname "
    "inventory_hostname_short lookup now omit play_hosts playbook_dir q query role_name role_names role_path undef "
    "vars".split()
)

#: What begins a template, or (the last one) changes how it begins.
_TEMPLATES = ("{{", "{%", "{#", "#jinja2:")

_T = TypeVar("_T")


class Templar(Protocol):
    """What is used of Ansible's Templar."""

    def template(self, variable: Any) -> Any: ...

    def copy_with_new_env(self, *, available_variables: Any) -> Templar: ...


class Place(NamedTuple):
    """Where the inventory puts a host: the names of its tiers, in declared order, and whether it is a router."""

    tiers: tuple[str, ...]
    gateway: bool


class Outline(NamedTuple):
    """Of a site: its tiers in declared order, its warnings, the inventory names of the Swarm's managers."""

    tiers: tuple[str, ...]
    warnings: tuple[str, ...]
    managers: tuple[str, ...]


class Declaration:
    """The site as one host's variables declare it. What is asked of it is compiled once for a run."""

    def __init__(self, variables: Mapping[str, Any], text: str) -> None:
        """variables: the bulkhead_* variables, templated; text: what stands for them, to tell declarations apart."""
        self.variables = variables
        self._today = date.today()
        self.key = hashlib.sha256(f"{self._today} {text}".encode("utf-8", "surrogatepass")).hexdigest()

    @functools.cached_property
    def site(self) -> Site:
        """The Site; Refused with all that is wrong with the declaration."""
        return _once(self.key, "site", lambda: parse_site(self.variables, self._today))

    @functools.cached_property
    def outline(self) -> Outline:
        """What the check of a site asks for, without the whole Site. Refused as `site`."""
        return _once(self.key, "outline", lambda: _outline(self.site))

    def check(self, host: str, groups: Sequence[str]) -> Outline:
        """The outline, if nothing is wrong with the site, nor with what it says of a host that is in these groups; else Refused.

        For a task that needs no more. A site that is right compiles for any host but a manager of the Swarm in another tier:
        no plan is made here, for that is most of what such a task would cost.
        """
        if host in self.outline.managers:
            self.plan(host, self.place(groups))
        return self.outline

    def place(self, groups: Sequence[str]) -> Place:
        """Where a host is that is in these groups of the inventory."""
        return Place(tuple(name for name in self.outline.tiers if name in groups), GATEWAY_GROUP in groups)

    def places(self, groups: Mapping[str, Sequence[str]]) -> dict[str, Place]:
        """The place of every host of the inventory; groups: {group: its hosts}, Ansible's `groups`."""
        member = {name: frozenset(groups.get(name) or ()) for name in (*self.outline.tiers, GATEWAY_GROUP)}
        return {
            host: Place(
                tuple(name for name in self.outline.tiers if host in member[name]), host in member[GATEWAY_GROUP]
            )
            for host in groups.get("all") or ()
        }

    def plan(self, host: str, place: Place) -> dict[str, Any]:
        """compile.host.host_plan of a host, with `runs_docker`, the `roles` that apply it, and what roles ask of the
        whole site, as `site`."""
        # All hosts of one place have the same plan, but for the Swarm's managers, who have the same rules.
        name = json.dumps([host if host in self.outline.managers else None, *place])
        return _once(self.key, name, lambda: self._compile(host, place))

    def _shared(self, place: Place) -> SharedPlan:
        return _once(
            self.key, json.dumps(["shared", *place]), lambda: shared_plan(self.site, place.tiers, place.gateway)
        )

    def _compile(self, host: str, place: Place) -> dict[str, Any]:
        site = self.site
        return {
            **host_plan(site, host, place.tiers, place.gateway, self._shared(place)),
            "runs_docker": runs_docker(site, place.tiers),
            "roles": [name for name in place.tiers if name in TIER_ROLES] or ["tier"],
            "site": {
                "tiers": list(site.tiers),
                "networks": list(site.networks),
                "addresses": {name: [str(net) for net in nets] for name, nets in site.addresses.items()},
                "tailnet": site.tailnet and {"control": site.tailnet.control, "dialect": site.tailnet.dialect},
                "services": {
                    name: [{"proto": ports.proto, "first": ports.first, "last": ports.last} for ports in every]
                    for name, every in site.services.items()
                },
            },
        }


def _outline(site: Site) -> Outline:
    return Outline(tuple(site.tiers), tuple(site.warnings), tuple(site.swarm.managers))


def read(task_vars: Mapping[str, Any], templar: Templar) -> Declaration:
    """The declaration of a task's host; Refused where facts set variables of ours, or a template fails."""
    refuse_injected(task_vars)
    raw = {name: task_vars[name] for name in sorted(task_vars) if name.startswith(PREFIX)}
    shown = _seen(raw)
    if shown is not None:
        return Declaration(raw, shown)
    # Each host's process goes over all of it, and copies every page of memory that it so touches: repr touches the fewest.
    shown = repr(raw)
    if _is_plain(shown):
        _see(raw, shown)
        return Declaration(raw, shown)
    with contextlib.suppress(TypeError, ValueError):
        text = json.dumps(raw, default=_date)
        if not any(mark in text for mark in _TEMPLATES):
            return Declaration(raw, text)
    variables, mistakes = {}, []
    for name in raw:
        try:
            variables[name] = _plain(value_of(name, task_vars, templar))
        except AnsibleError as error:
            mistakes.append(Mistake(name, "a template that fails", "a value", _why(error, task_vars)))
    if mistakes:
        raise Refused(mistakes)
    return Declaration(variables, json.dumps(variables, default=repr))


#: The values of a declaration that was read before, which so stay where they are, and what stands for them.
_last: Optional[tuple[dict[str, Any], str]] = None


def _see(raw: dict[str, Any], shown: str) -> None:
    global _last
    _last = dict(raw), shown


def _seen(raw: Mapping[str, Any]) -> Optional[str]:
    """What stands for a declaration of which every value is the very object that was read before, in this process or, before
    it began, in Ansible's own. The lookup `waves` reads there, in site.yml, and group_vars are one object for all hosts."""
    if _last is None or _last[0].keys() != raw.keys():
        return None
    return _last[1] if all(value is _last[0][name] for name, value in raw.items()) else None


def _is_plain(shown: str) -> bool:
    """Whether what repr shows is all that there is: texts, numbers and dates without a template. Any other type has a
    bracket in its repr, a text may have one; those are gone over with care."""
    bare = shown.replace("datetime.date(", "")
    return not any(mark in bare for mark in ("(", "<", *_TEMPLATES))


def declare(variables: Mapping[str, Any]) -> Declaration:
    """A declaration of variables that are given, and templated already."""
    plain = _plain(variables)
    return Declaration(plain, json.dumps(plain, default=repr))


def host_place(declaration: Declaration, task_vars: Mapping[str, Any]) -> Place:
    """The place of a task's host."""
    return declaration.place(task_vars.get("group_names") or ())


def value_of(name: str, task_vars: Mapping[str, Any], templar: Templar) -> Any:
    """The value of a variable, templated with nothing that facts of the host have set; Refused, AnsibleError."""
    refuse_injected(task_vars)
    injected = _promoted(task_vars)
    if injected:
        clean = {key: value for key, value in task_vars.items() if key not in injected}
        templar = templar.copy_with_new_env(available_variables=clean)
    if name in injected or name not in task_vars:
        raise AnsibleError(f"{name} is undefined")
    return templar.template(task_vars[name])


def refuse_injected(task_vars: Mapping[str, Any]) -> None:
    """Refused where the facts of the task's host have the name of a variable that decides something."""
    named = sorted(
        {
            name
            for facts in _facts(task_vars)
            for name in facts
            if isinstance(name, str) and (name.startswith(PREFIX) or name in ROLE_VARIABLES or name in ANSIBLES_OWN)
        }
    )
    if named:
        host = printable(task_vars.get("inventory_hostname") or "the host")
        shown = ", ".join(printable(name, 80) for name in named[:10])
        raise Refused(
            [
                Mistake(
                    f"facts of {host}",
                    f"{shown}, set by what a module returned on the host",
                    "no fact with the name of a variable that decides what is done",
                    "hosts set no variables: find out what returns it there; where an older version of this collection "
                    "left it in a fact cache, run once with --flush-cache",
                    INJECTED,
                )
            ]
        )


def warnings_of_settings() -> list[str]:
    """What in Ansible's own configuration lets a host set variables."""
    if not constants.INJECT_FACTS_AS_VARS:
        return []
    return [
        "ansible.cfg: inject_facts_as_vars is on, Ansible's default: a host that was taken over can then set any variable "
        "that roles and group_vars leave to it. This collection refuses its own; set inject_facts_as_vars = false "
        "under [defaults] for all others"
    ]


def _facts(task_vars: Mapping[str, Any]) -> Iterator[Mapping[Any, Any]]:
    facts = task_vars.get("ansible_facts")
    if not isinstance(facts, Mapping):
        return
    yield facts
    # In a loop, ansible-core puts what the last item's result brought one level deeper.
    deeper = facts.get("ansible_facts")
    if isinstance(deeper, Mapping):
        yield deeper


def _promoted(task_vars: Mapping[str, Any]) -> set[str]:
    """The variables that are what facts made of them. With one value in both, nobody can tell: it counts as the fact."""
    if not constants.INJECT_FACTS_AS_VARS:
        return set()
    return {
        name
        for facts in _facts(task_vars)
        for name, value in facts.items()
        # Those of Ansible's own namespace are what they seem: no inventory declares them.
        if isinstance(name, str) and not name.startswith("ansible_") and name in task_vars and task_vars[name] == value
    }


def _why(error: AnsibleError, task_vars: Mapping[str, Any]) -> str:
    text = printable(" ".join(str(error).split()))
    injected = sorted(_promoted(task_vars))
    if "undefined" in text and injected:
        names = ", ".join(printable(name, 80) for name in injected[:10])
        text += f" (set by facts of the host, which declare nothing: {names}; set inject_facts_as_vars = false)"
    return text


def _date(value: object) -> str:
    """Of what YAML makes: dates. Whatever else is none of JSON's types is left to the templar."""
    if isinstance(value, date):
        return f"date {value.isoformat()}"
    raise TypeError(type(value).__name__)


def _plain(value: Any) -> Any:
    """The same in Python's own types: Ansible's containers may hold templates still."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value


# ── Once for a run ──────────────────────────────────────────────────────────────────────────────────────────────────


_memory: dict[tuple[str, str], Any] = {}
_guard = threading.Lock()
#: More than a play's hosts declare, less than fills the memory.
_MOST = 256


def _once(key: str, name: str, make: Callable[[], _T]) -> _T:
    """What ``make`` returns, made once for all processes of a run. What it raises is raised each time."""
    slot = (key, name)
    if slot in _memory:
        return _memory[slot]
    folder = _folder()
    if folder is None:
        found = make()
    else:
        path = os.path.join(folder, hashlib.sha256(f"{key} {name}".encode()).hexdigest())
        found = _read(path) if os.path.exists(path) else _make(path, make)
    with _guard:
        if len(_memory) >= _MOST:
            _memory.clear()
        _memory[slot] = found
    return found


def _make(path: str, make: Callable[[], _T]) -> _T:
    """The first process makes it, those that come meanwhile wait for it."""
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):
            return _read(path)
        found = make()
        partial = f"{path}.{os.getpid()}.{threading.get_ident()}"
        with open(partial, "wb") as file:
            pickle.dump(found, file, pickle.HIGHEST_PROTOCOL)
        os.replace(partial, path)
        return found


def _read(path: str) -> Any:
    with open(path, "rb") as file:
        return pickle.load(file)


@functools.lru_cache(maxsize=4)
def _made(base: str) -> Optional[str]:
    path = os.path.join(base, "bulkhead")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError:
        return None
    mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    return path if mine else None


def _folder() -> Optional[str]:
    """The folder of this run for what is compiled; None where there is none that is this user's alone.

    Only this user's processes write there, which could run anything as this user anyway: so it is pickled.
    """
    return _made(str(constants.DEFAULT_LOCAL_TMP))
