# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which packages a host lacks, by dpkg's own book: apt is not asked, and needs no Python of the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: (return code, standard output, standard error) of a command.
Run = Callable[[list[str]], "tuple[int, str, str]"]
#: dpkg-query(1): wanted, error, state. A package on hold is installed as well.
_QUERY = ["dpkg-query", "--show", "--showformat", "${binary:Package} ${db:Status-Status}\\n"]


def missing_packages(run: Run, names: Sequence[str]) -> list[str]:
    """Those that are not installed, in the order of ``names``; all of them where there is no dpkg."""
    if not names:
        return []
    # It fails where it knows one of them by no name, and lists the others all the same.
    _code, out, _err = run([*_QUERY, *names])
    installed = {line.split()[0].partition(":")[0] for line in out.splitlines() if line.split()[1:] == ["installed"]}
    return [name for name in names if name not in installed]
