"""What every test's own processes need: they find the collection and what tests share as pytest itself does."""

from __future__ import annotations

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(str(ROOT / name) for name in (".venv/collections", "tests/support"))

# Workers side by side (pytest -n): each has a network and names of its own for the hosts that it makes (tests/support/hosts).
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER:
    number = int(WORKER.removeprefix("gw")) + 1
    os.environ["BULKHEAD_FAULT_PREFIX"] = f"{os.environ.get('BULKHEAD_FAULT_PREFIX', 'bulkhead-fault')}-{number}"
    os.environ["BULKHEAD_FAULT_NET"] = str(int(os.environ.get("BULKHEAD_FAULT_NET", "77")) + number)
