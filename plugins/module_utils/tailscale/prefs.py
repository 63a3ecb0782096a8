# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of a node and tailscaled's preferences: one table, read both ways.

An option is named after the flag of `tailscale up` and `set`. Two options share one preference (advertise_routes and
advertise_exit_node are both AdvertiseRoutes), one has three (exit_node), two are stored the other way round. All names
and forms were recorded from tailscaled 1.98.9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BOOL, TEXT, URL, NAMES, MODE, PORT = "bool", "text", "url", "names", "mode", "port"

#: netfilter_mode by the number that it is stored as.
MODES = ("off", "nodivert", "on")
#: What advertise_exit_node adds to AdvertiseRoutes.
EXIT_ROUTES = ("0.0.0.0/0", "::/0")
#: An exit node that tailscaled chooses by itself: as the option has it, and as AutoExitNode does.
AUTO, ANY = "auto:any", "any"
#: Tailscale's own control server. Both names are the same one, and so is no name.
TAILSCALE = "https://controlplane.tailscale.com"
_ALSO_TAILSCALE = ("", "https://login.tailscale.com")


@dataclass(frozen=True)
class Pref:
    """One option that is one preference. ``path``: its key, and one within it. ``inverted``: true is stored as false.
    ``whole``: its mask is that of the outer key."""

    option: str
    path: tuple[str, ...]
    kind: str
    inverted: bool = False
    whole: bool = False

    def read(self, prefs: Mapping[str, Any]) -> Any:
        """The option's value; None where tailscaled has none (an automatic update that was never decided, say)."""
        value: Any = prefs
        for key in self.path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if self.kind == BOOL:
            return (not value if self.inverted else value) if isinstance(value, bool) else None
        if self.kind == MODE:
            return MODES[value] if isinstance(value, int) and 0 <= value < len(MODES) else value
        if self.kind == NAMES:
            return sorted(str(item) for item in value or ())
        if self.kind == PORT:
            return "" if value is None else str(value)
        if self.kind == URL:
            return control_url(value or "")
        return value or ""

    def stored(self, value: Any) -> Any:
        """The option's value as the preference has it."""
        if self.kind == BOOL:
            return not value if self.inverted else value
        if self.kind == MODE:
            return MODES.index(value)
        if self.kind == PORT:
            return int(value) if value else None
        return value

    def mask(self, value: Any) -> dict[str, Any]:
        """What PATCH prefs takes for it."""
        key, *inner = self.path
        if not inner:
            return {key: self.stored(value), f"{key}Set": True}
        return {key: {inner[0]: self.stored(value)}, f"{key}Set": True if self.whole else {f"{inner[0]}Set": True}}


TABLE = (
    Pref("accept_dns", ("CorpDNS",), BOOL),
    Pref("accept_routes", ("RouteAll",), BOOL),
    Pref("advertise_connector", ("AppConnector", "Advertise"), BOOL, whole=True),
    Pref("advertise_tags", ("AdvertiseTags",), NAMES),
    Pref("auto_update", ("AutoUpdate", "Apply"), BOOL),
    Pref("exit_node_allow_lan_access", ("ExitNodeAllowLANAccess",), BOOL),
    Pref("hostname", ("Hostname",), TEXT),
    Pref("login_server", ("ControlURL",), URL),
    Pref("netfilter_mode", ("NetfilterMode",), MODE),
    Pref("nickname", ("ProfileName",), TEXT),
    Pref("operator", ("OperatorUser",), TEXT),
    Pref("relay_server_port", ("RelayServerPort",), PORT),
    Pref("relay_server_static_endpoints", ("RelayServerStaticEndpoints",), NAMES),
    Pref("report_posture", ("PostureChecking",), BOOL),
    Pref("shields_up", ("ShieldsUp",), BOOL),
    Pref("snat_subnet_routes", ("NoSNAT",), BOOL, inverted=True),
    Pref("ssh", ("RunSSH",), BOOL),
    Pref("stateful_filtering", ("NoStatefulFiltering",), BOOL, inverted=True),
    Pref("update_check", ("AutoUpdate", "Check"), BOOL),
    Pref("webclient", ("RunWebClient",), BOOL),
)
BY_OPTION = {pref.option: pref for pref in TABLE}
#: Those that are no row of the table.
ROUTES, EXIT, EXIT_NODE = "advertise_routes", "advertise_exit_node", "exit_node"
#: Whether the node is to be up: no option of its own, `state` says it.
UP = "up"
OPTIONS = (*sorted([*BY_OPTION, ROUTES, EXIT, EXIT_NODE]), UP)


def control_url(text: str) -> str:
    """A control server's URL in the one form that is compared."""
    plain = text.strip().rstrip("/")
    return TAILSCALE if plain in _ALSO_TAILSCALE else plain


def options_of(prefs: Mapping[str, Any]) -> dict[str, Any]:
    """Every option's value, as GET prefs has it. An exit node is a stable id or an address here."""
    routes = [str(route) for route in prefs.get("AdvertiseRoutes") or ()]
    found = {pref.option: pref.read(prefs) for pref in TABLE}
    found[ROUTES] = sorted(route for route in routes if route not in EXIT_ROUTES)
    found[EXIT] = all(route in routes for route in EXIT_ROUTES)
    automatic = prefs.get("AutoExitNode")
    found[EXIT_NODE] = f"auto:{automatic}" if automatic else prefs.get("ExitNodeID") or prefs.get("ExitNodeIP") or ""
    found[UP] = prefs.get("WantRunning") is True
    return {option: found[option] for option in OPTIONS}


def mask_of(options: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """The body of PATCH prefs that changes some options. options: all of them, as they should be; changed: by name."""
    mask: dict[str, Any] = {}
    for option in changed:
        pref = BY_OPTION.get(option)
        if pref is not None:
            _merge(mask, pref.mask(options[option]))
        elif option == EXIT_NODE:
            _merge(mask, _exit_node_mask(options[option]))
        elif option == UP:
            _merge(mask, {"WantRunning": options[UP], "WantRunningSet": True})
    if ROUTES in changed or EXIT in changed:
        routes = [*options[ROUTES], *(EXIT_ROUTES if options[EXIT] else ())]
        _merge(mask, {"AdvertiseRoutes": routes, "AdvertiseRoutesSet": True})
    return mask


def _exit_node_mask(value: str) -> dict[str, Any]:
    automatic = value.startswith("auto:")
    return _exit_node(value[len("auto:") :] if automatic else "", "" if automatic else value, "")


def _exit_node(automatic: str, node: str, address: str) -> dict[str, Any]:
    """The mask of an exit node. AutoExitNode is named only where it is one, or none is wanted: tailscaled clears it by itself
    with the others, and where it is cleared by name while no node was chosen yet, clears the other ones as well."""
    mask: dict[str, Any] = {"ExitNodeID": node, "ExitNodeIDSet": True, "ExitNodeIP": address, "ExitNodeIPSet": True}
    return mask if node or address else {"AutoExitNode": automatic, "AutoExitNodeSet": True, **mask}


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            into[key] = {**into[key], **value}
        else:
            into[key] = value


def whole(prefs: Mapping[str, Any], mask: Mapping[str, Any]) -> dict[str, Any]:
    """All preferences with those of a mask changed, as `start` and `check-prefs` take them: they replace everything but
    the keys, which tailscaled never hands out (``Config``)."""
    found = {key: value for key, value in prefs.items() if key != "Config"}
    for key, value in mask.items():
        if not key.endswith("Set"):
            inner = found.get(key)
            found[key] = {**inner, **value} if isinstance(value, dict) and isinstance(inner, dict) else value
    if "ExitNodeIDSet" in mask and "AutoExitNodeSet" not in mask:
        found.pop("AutoExitNode", None)
    return found


def undo_of(prefs: Mapping[str, Any], mask: Mapping[str, Any]) -> dict[str, Any]:
    """The mask that brings back what a mask changes, as it stands in ``prefs``. A preference that tailscaled leaves out
    where it is empty is emptied."""
    undo: dict[str, Any] = {}
    for key, value in mask.items():
        if key.endswith("Set"):
            undo[key] = value
            continue
        undo[key] = prefs[key] if key in prefs else _EMPTY.get(type(value))
    if "ExitNodeIDSet" in mask:
        automatic = prefs.get("AutoExitNode") or ""
        chosen = ("", "") if automatic else (prefs.get("ExitNodeID") or "", prefs.get("ExitNodeIP") or "")
        undo = {key: value for key, value in undo.items() if not key.startswith("AutoExitNode")}
        undo.update(_exit_node(automatic, *chosen))
    return undo


#: By the type of a preference, what it is where it is left out.
_EMPTY: dict[type, Any] = {str: "", bool: None, list: None, dict: None}
