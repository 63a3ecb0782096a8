# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pin newly allocated subnets in the inventory; see modules/allocations.py."""

from __future__ import annotations

import os
from datetime import date

import yaml
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.action.networks_report import NO_ENGINE, heard, unasked
from ansible_collections.bulkhead.tiers.plugins.action.site import ActionModule as SiteAction
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.pins import VARIABLE, NotEditable, add_pins
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.survey import live_networks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, write_whole

PLACE = os.path.join("group_vars", "all", "allocations.yml")


class ActionModule(SiteAction):
    """The site's new subnets in, one file of the inventory out; on the controller alone."""

    def run(self, tmp=None, task_vars=None):
        result = ActionBase.run(self, tmp, task_vars)
        _dummy, options = self.validate_argument_spec(argument_spec={"path": {"type": "path"}, "live": {"type": "str"}})
        try:
            declared = self._declared(task_vars)
            live = _live(task_vars, options["live"]) if options["live"] else ()
            site = parse_site(declared, date.today(), live)
            path = options["path"] or _default_path(task_vars.get("ansible_inventory_sources"))
            pins = {network.name: str(network.subnet) for network in site.networks.values() if not network.settled}
            before, after = _edit(path, declared.get(VARIABLE) or {}, pins)
            if pins and not self._task.check_mode:
                write_whole(path, after)
        except Refused as error:
            result.update(failed=True, msg=f"Nothing was pinned.\n{error}")
            return result
        result.update(changed=bool(pins), pinned=pins, path=path)
        left = unasked(task_vars) if pins and options["live"] else 0
        if left:
            result["warnings"] = ["%s of the inventory not asked: what lives there is not known" % count(left, "host")]
        if pins:
            result["diff"] = {"before_header": path, "after_header": path, "before": before or "", "after": after}
        return result


def _live(task_vars, name):
    """The live networks of the play's hosts; a host that could not be asked may have any."""
    _hosts, infos, silent = heard(task_vars, name)
    deaf = ["%s: %s" % item for item in silent.items() if item[1] != NO_ENGINE]
    if deaf:
        raise _refused(
            "live networks",
            "none of %s" % "; ".join(deaf),
            "those of every host",
            "fix it, or leave the host out with --limit",
        )
    return live_networks(infos)


def _default_path(sources):
    """The file beside the first inventory source that is a directory or a file."""
    for source in sources or ():
        if os.path.exists(source):
            folder = source if os.path.isdir(source) else os.path.dirname(source)
            return os.path.abspath(os.path.join(folder, PLACE))
    raise _refused("path", "nothing", "a file, or an inventory in the file system", "give path")


def _refused(path, got, expected, remedy):
    return Refused([Mistake(path, got, expected, remedy)])


def _edit(path, seen, pins):
    """(text before or None, text after); makes sure that the file is the one that the inventory reads."""
    before = None
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = file.read()
    held = _pins_of(path, before)
    if held != seen:
        raise _refused(
            path, _text(held), "%s, which the inventory has" % _text(seen), "move all pins into this one file"
        )
    try:
        after = add_pins(before, pins)
    except NotEditable as error:
        raise _refused(path, "a form that cannot be extended", "one network a line", str(error)) from error
    if _pins_of(path, after) != dict(held, **pins):
        raise _refused(path, "pins that cannot be extended safely", "one network a line", "write them one a line")
    return before, after


def _pins_of(path, text):
    try:
        content = yaml.safe_load(text or "") or {}
    except yaml.YAMLError as error:
        raise _refused(path, "no YAML (%s)" % " ".join(str(error).split()), "a YAML mapping", "correct it") from error
    if not isinstance(content, dict) or not isinstance(content.get(VARIABLE) or {}, dict):
        raise _refused(path, "no mapping", "%s: {network: subnet}" % VARIABLE, "correct it")
    return dict(content.get(VARIABLE) or {})


def _text(pins):
    return ", ".join("%s: %s" % item for item in sorted(pins.items())) or "no pin"
