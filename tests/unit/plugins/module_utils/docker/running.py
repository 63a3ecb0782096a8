"""Run a module's main() in this process, with the real argument spec."""

from __future__ import annotations

import contextlib
import io
import json

from ansible.module_utils.testing import patch_module_args


def run(module, engine_url: str, check: bool = False, **arguments) -> dict:
    """The module's result as Ansible gets it; ``failed`` is always in it."""
    arguments = {"docker_host": engine_url, "_ansible_check_mode": check, "_ansible_diff": True, **arguments}
    output = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        module.main()
    return {"failed": False, **json.loads(output.getvalue())}
