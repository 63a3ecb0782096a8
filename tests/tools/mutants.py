# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the tests notice: small changes of the code, one at a time, and the tests of the changed file after each.

    make mutants                                        200 changes over the packet engine and ufw's files
    make mutants ARGS="plugins/module_utils/packets --count 60"
    make mutants ARGS="plugins/module_utils/ufw/lockout.py:tests/unit/plugins/module_utils/ufw/test_ufw_lockout.py --seed 7"
    make mutants ARGS="... --list"                      the changes only; no test is run

FILE[:TEST[,TEST...]]: a file or a folder of the collection, and the tests to run; without them, those of its room
(tests/unit mirrors plugins/), the ones with the file's name first. A change is a comparison turned round or moved by one, a
number or a string altered, a condition negated, `and` for `or`, + for -, a statement left out. The same --seed and the same
files give the same changes. All is done in copies, one for each of --jobs (the processors of this machine): the tree is not
touched, and several runs may go on beside each other.

A change that no test notices is printed as a diff of one line. Those that cannot make a difference are listed in
tests/tools/mutants.equivalent, one a line: `FILE | LINE BEFORE | LINE AFTER | why`, without the blanks around; they do not
count. The exit status is 1 where fewer than --least percent (95) of the others are noticed, or where the tests fail
without any change.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_suffix(".equivalent")
UFW = [f"plugins/module_utils/ufw/{name}.py" for name in ("lockout", "guard", "drift", "effect", "kernel", "files")]
DEFAULT = ["plugins/module_utils/packets", *UFW]
#: What each comparison may become: its boundary moved, and turned round.
COMPARISONS = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}
OPERATORS = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.Mult: "+",
}
#: Statements that may be left out.
DROPPED = (ast.Assign, ast.AugAssign, ast.Expr, ast.Raise, ast.Continue, ast.Break, ast.Return, ast.Delete)


#: Files of tests: those to run first, and those to run where they notice nothing.
Tests = tuple[tuple[str, ...], tuple[str, ...]]


class Mutant(NamedTuple):
    """A change of a file: the text from `start` to `end` becomes `text`."""

    file: Path
    line: int
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def lines(self, source: bytes) -> tuple[str, str]:
        """The line before and after, without the blanks around."""
        first = source.rfind(b"\n", 0, self.start) + 1
        last = source.find(b"\n", self.end)
        before, after = source[first:last], source[first : self.start] + self.text.encode() + source[self.end : last]
        return " ".join(before.decode().split()), " ".join(after.decode().split())


class _Finder(ast.NodeVisitor):
    """Every change of one file."""

    def __init__(self, file: Path, source: bytes) -> None:
        self.file, self.source, self.found = file, source, list[Mutant]()
        self.starts = [0]
        for line in source.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.visit(ast.parse(source))

    def span(self, node: ast.AST) -> tuple[int, int]:
        place = node  # every node that is asked about is an expression or a statement
        return (
            self.starts[place.lineno - 1] + place.col_offset,  # type: ignore[attr-defined]
            self.starts[place.end_lineno - 1] + place.end_col_offset,  # type: ignore[attr-defined]
        )

    def add(self, node: ast.AST, start: int, end: int, text: str) -> None:
        self.found.append(Mutant(self.file, node.lineno, start, end, text))  # type: ignore[attr-defined]

    def between(self, left: ast.AST, right: ast.AST, text: str) -> None:
        """Put another operator between two expressions; brackets and blanks around it stay."""
        start, end = self.span(left)[1], self.span(right)[0]
        part = self.source[start:end]
        kept = part.strip(b" \n)(\\")
        at = start + part.index(kept)
        if kept and b"#" not in kept:
            self.add(left, at, at + len(kept), text)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:]):
            for text in COMPARISONS.get(type(operator), ()):
                self.between(left, right, text)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        text = "or" if isinstance(node.op, ast.And) else "and"
        for left, right in zip(node.values, node.values[1:]):
            self.between(left, right, text)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in OPERATORS and not isinstance(node.left, (ast.Constant, ast.JoinedStr)):
            self.between(node.left, node.right, OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.add(node, self.span(node)[0], self.span(node.operand)[0], "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        start, end = self.span(node)
        if isinstance(node.value, bool):
            self.add(node, start, end, str(not node.value))
        elif isinstance(node.value, int):
            self.add(node, start, end, str(node.value + 1))
        elif isinstance(node.value, str) and node.value and self.source[start : start + 1] in (b'"', b"'"):
            self.add(node, start, end, repr(node.value + "~"))

    def condition(self, test: ast.expr) -> None:
        start, end = self.span(test)
        self.add(test, start, end, f"not ({self.source[start:end].decode()})")

    def visit_If(self, node: ast.If) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.generic_visit(node)  # a negated loop only hangs

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.condition(node.test)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts with values in them have no places of their own for their parts."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        self.body(node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.body(node.body)

    def visit_Module(self, node: ast.Module) -> None:
        self.body(node.body)

    def body(self, statements: list[ast.stmt]) -> None:
        documented = (
            statements and isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant)
        )
        for statement in statements[1:] if documented else statements:
            self.visit(statement)

    def visit(self, node: ast.AST) -> None:
        if (
            isinstance(node, DROPPED)
            and node.col_offset
            and not isinstance(getattr(node, "value", None), (ast.Yield, ast.YieldFrom))
        ):
            self.add(node, *self.span(node), "pass")
        if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert)):
            super().visit(node)


def mutants(files: list[Path]) -> Iterator[Mutant]:
    """Every change that still compiles, file by file, from the top."""
    for file in files:
        source = (ROOT / file).read_bytes()
        unchanged = ast.dump(ast.parse(source))
        for one in _Finder(file, source).found:
            try:
                changed = ast.dump(ast.parse(one.apply(source)))
            except SyntaxError:
                continue
            if changed != unchanged:
                yield one


def files_of(place: str) -> list[Path]:
    path = Path(place)
    found = sorted((ROOT / path).glob("*.py")) if (ROOT / path).is_dir() else [ROOT / path]
    return [file.relative_to(ROOT) for file in found if file.name != "__init__.py"]


def tests_of(file: Path) -> Tests:
    """The tests of the file's room; those that bear its name first."""
    found = sorted((ROOT / "tests/unit" / file.parent).glob("test_*.py"))
    named = [path for path in found if path.stem.endswith("_" + file.stem)]
    first, others = (
        tuple(str(path.relative_to(ROOT)) for path in paths)
        for paths in (named, [path for path in found if path not in named])
    )
    return first, others


class Copy:
    """The collection in a folder of its own, where its files are changed and its tests run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tiers"
        leave = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, self.root, ignore=leave, symlinks=True)
        package = self.root / ".venv/collections/ansible_collections/bulkhead"
        package.mkdir(parents=True)
        (package / "tiers").symlink_to(self.root)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.root / ".venv/collections"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def passes(self, tests: Tests, seconds: float) -> bool:
        """Whether the tests pass, in that time; the first ones alone tell of most changes."""
        for files in filter(None, tests):
            words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
            try:
                done = subprocess.run(
                    words, cwd=self.root, env=self.environment, capture_output=True, timeout=seconds, check=False
                )
            except subprocess.TimeoutExpired:
                return False
            if done.returncode:
                return False
        return True

    def notices(self, one: Mutant, tests: Tests, seconds: float) -> bool:
        path = self.root / one.file
        source = path.read_bytes()
        path.write_bytes(one.apply(source))
        try:
            return not self.passes(tests, seconds)
        finally:
            path.write_bytes(source)


def equivalents() -> list[str]:
    """The lines of the changes that make no difference, with single blanks."""
    lines = EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []
    return [" ".join(line.split()) for line in lines if not line.startswith("#")]


def is_known(one: Mutant, known: list[str]) -> bool:
    """Whether a change is listed. The lines of code may hold what stands between the parts of a listed line."""
    listed = " | ".join((str(one.file), *one.lines((ROOT / one.file).read_bytes()), ""))
    return any(line.startswith(listed) for line in known)


def show(one: Mutant) -> str:
    before, after = one.lines((ROOT / one.file).read_bytes())
    return f"{one.file}:{one.line}\n  - {before}\n  + {after}"


def main(words: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE[:TEST,...]", default=DEFAULT)
    parser.add_argument("--count", type=int, default=200, help="how many changes (all: 0)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least", type=float, default=95, help="percent that have to be noticed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many changes are tried at a time")
    parser.add_argument("--list", action="store_true", help="print the changes, run nothing")
    options = parser.parse_args(words)
    tests: dict[Path, Tests] = {}
    for word in options.files:
        place, _colon, named = word.partition(":")
        for file in files_of(place):
            tests[file] = (tuple(named.split(",")), ()) if named else tests_of(file)
    chosen = list(mutants(list(tests)))
    if options.count and options.count < len(chosen):
        # In the order of the files, so that a run reads like the tree.
        chosen = [chosen[i] for i in sorted(random.Random(options.seed).sample(range(len(chosen)), options.count))]
    known = equivalents()
    chosen = [one for one in chosen if not is_known(one, known)]
    if options.list:
        print("\n".join(show(one) for one in chosen))
        return 0
    with contextlib.ExitStack() as stack:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for _job in range(options.jobs):
            copies.put(Copy(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))))
        return judge(copies, options.jobs, chosen, tests, options.least)


def limits(copy: Copy, chosen: list[Mutant], tests: dict[Path, Tests]) -> dict[Path, float]:
    """Seconds that the tests of each changed file may take. Raises SystemExit where they fail without any change."""
    taken: dict[tuple[str, ...], float] = {}
    found: dict[Path, float] = {}
    for file in dict.fromkeys(one.file for one in chosen):
        same = tuple(sorted(sum(tests[file], ())))  # of the files of one room: only the order differs
        if same not in taken:
            start = time.monotonic()
            if not copy.passes(tests[file], 3600):
                raise SystemExit(f"{' '.join(same)}: fails without any change")
            taken[same] = time.monotonic() - start
        found[file] = 60 + 10 * taken[same]
    return found


def judge(
    copies: queue.SimpleQueue[Copy], jobs: int, chosen: list[Mutant], tests: dict[Path, Tests], least: float
) -> int:
    first = copies.get()
    seconds = limits(first, chosen, tests)
    copies.put(first)

    def noticed(one: Mutant) -> bool:
        copy = copies.get()
        try:
            return copy.notices(one, tests[one.file], seconds[one.file])
        finally:
            copies.put(copy)

    survived = 0
    with ThreadPoolExecutor(jobs) as pool:
        for number, (one, good) in enumerate(zip(chosen, pool.map(noticed, chosen)), 1):
            if not good:
                survived += 1
                print(f"not noticed: {show(one)}", flush=True)
            if not number % 20:
                print(f"{number} of {len(chosen)}: {survived} not noticed", flush=True)
    share = 100 * (len(chosen) - survived) / max(1, len(chosen))
    print(f"{len(chosen)} changes, {len(chosen) - survived} noticed: {share:.1f} % (at least {least:g} %)")
    return int(share < least)


if __name__ == "__main__":
    sys.exit(main())
