"""What every test's own processes need: they find the collection and what tests share as pytest itself does."""

from __future__ import annotations

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(str(ROOT / name) for name in (".venv/collections", "tests/support"))
