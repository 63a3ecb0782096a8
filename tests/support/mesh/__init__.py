# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mesh as AWX's: a control node and execution nodes of receptor on this machine, and jobs that run over it in slices.

with Mesh(["exec1", "exec2"]) as mesh:
    done = run_slices(mesh, job, count=4, folder=folder)
"""

from __future__ import annotations

from .job import Job, cut
from .nodes import Mesh, Node
from .run import Done, Slice, run_isolated, run_slices

__all__ = ["Done", "Job", "Mesh", "Node", "Slice", "cut", "run_isolated", "run_slices"]
