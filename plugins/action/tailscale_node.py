# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have a node be as it should, and give it the key only where it needs one; see modules/tailscale_node.yml.

The host is first asked without the key. Its answer is the answer where it needs none, which is most of the time: then the
key never leaves the controller. What may cut the connection is confirmed over a new one, as a ruleset is. An OAuth client
secret never does: it is exchanged here for a key that one node can use.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import authkey, said
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.confirming import INSIDE, Confirming, pending_of

MODULE = "bulkhead.tiers.tailscale_node"
#: What stands in place of a key or a secret.
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


class ActionModule(Confirming):
    """One trip to the host where nothing has to log in."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    NEW = "state of the node"
    OLD = "The old preferences are back."

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's answer."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        secrets = [str(arguments[name]) for name in ("auth_key", "client_secret") if arguments.get(name)]
        key = Key(arguments)
        transport = self._connection.transport.rpartition(".")[2]
        if transport in INSIDE:
            arguments["confirm"] = {"timeout": 0}
        try:
            key.check()
            answer = self._ask({**arguments, "key_at_hand": key.given}, task_vars)
            if answer.pop("needs_key", False) and key.given:
                made = key.make()
                secrets.append(made)
                answer = self._ask({**arguments, "auth_key": made}, task_vars)
        except Refused as refused:
            result.update(failed=True, msg=str(refused), errors=refused.errors)
            return result
        result.update(said.shown(without(answer, secrets)))
        self._settle(result, arguments, transport)
        return result

    def _ask(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        try:
            return dict(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(
                "The connection broke while the node was changed; the host takes the change back by itself within the timeout of the "
                f"confirmation, but for one that ends the connection for good and was accepted with accept_cut: {error}"
            ) from error

    def _settle(self, result: dict[str, Any], arguments: dict[str, Any], transport: str) -> None:
        """Confirm a change that waits on the host, or say why there is nothing to confirm."""
        told = result.pop("pending", None)
        if result.get("failed"):
            return
        if told is None:
            result["confirmation"] = self._why_not(result, transport)
            return
        pending = pending_of(told, arguments)
        if pending is None:
            result.update(
                failed=True, msg=f"The host says of its pending change {printable(told)}: no such change was asked for"
            )
            return
        # Its time runs from the end of the module, which waits for the node itself.
        self._confirm(result, pending, time.monotonic() + pending["timeout"])

    def _why_not(self, result: dict[str, Any], transport: str) -> str:
        if self._task.check_mode:
            return "check mode"
        if not result.get("changed"):
            return "nothing to confirm"
        if transport in INSIDE:
            return f"not needed: a connection of the kind {transport} cannot be cut"
        if any(cut.get("effect") == "ends" for cut in result.get("cuts") or () if isinstance(cut, Mapping)):
            return "none: the change ends the connection, which was accepted"
        return "not needed: the change does not touch the connection" if not result.get("cuts") else "switched off"


class Key:
    """What the task has to log in with, taken out of its arguments."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        auth_key = str(arguments.pop("auth_key", None) or "").strip()
        secret = str(arguments.pop("client_secret", None) or "").strip()
        self._both = bool(auth_key and secret)
        if auth_key.startswith(authkey.SECRET):
            # As tailscale's own command takes it.
            auth_key, secret = "", auth_key
        self._key, self._secret = auth_key, secret
        defaults: dict[str, Any] = {"ephemeral": False, "preauthorized": True, "api_url": "https://api.tailscale.com"}
        self._options = {name: arguments.pop(name, None) for name in defaults}
        self._options = {name: defaults[name] if value is None else value for name, value in self._options.items()}
        self._tags = _tags(arguments.get("advertise_tags"))

    @property
    def given(self) -> bool:
        return bool(self._key or self._secret)

    def check(self) -> None:
        """Refused where the task says two things."""
        if self._both:
            raise Refused([Mistake("client_secret", "one beside auth_key", "one of the two", "leave one out")])
        if self._secret:
            authkey.split_secret(self._secret)
            if not self._tags:
                authkey.make_key("", (), False, False, "")

    def make(self) -> str:
        """The auth key, made of the secret where that was given."""
        if self._key:
            return self._key
        secret, options = authkey.split_secret(self._secret)
        chosen = {**self._options, **options}
        try:
            flags = [boolean(chosen[name]) for name in ("ephemeral", "preauthorized")]
        except TypeError as error:
            raise AnsibleActionFail(f"ephemeral and preauthorized are true or false: {error}") from error
        return authkey.make_key(secret, self._tags, flags[0], flags[1], str(chosen["api_url"]))


def _tags(value: Any) -> list[str]:
    """Tags as an argument spec reads a list, whole."""
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    plain = [str(item).strip() for item in items]
    return [tag if tag.startswith("tag:") else f"tag:{tag}" for tag in plain if tag]


def without(answer: Mapping[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """The same answer with none of the secrets in its texts, wherever a host may have put them."""
    hidden = sorted(
        {text for secret in secrets for text in (secret, secret.partition("?")[0]) if text}, key=len, reverse=True
    )

    def hide(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, HIDDEN)
        return text

    return {str(key): said.each(value, hide) for key, value in answer.items()}
