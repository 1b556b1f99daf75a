"""What holds the project together outside the package: make, pins, licence, tracked files."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rag

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
DEPENDENCIES = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [Requirement(x) for extra in PROJECT["optional-dependencies"].values() for x in extra]
DEV = [Requirement(line) for line in PYPROJECT["dependency-groups"]["dev"]]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "rag").rglob("*.py")
    if path.name != "__main__.py"  # Importing it runs the command.
)


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def make(target: str) -> str:
    # Under `make test` these would make the inner make report on the outer one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", target], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    assert {"help", "demo", "test", "check", "fix", "slow", "setup", "clean"} <= set(targets)
    assert re.findall(r"^  make (\w+) +\S", make("help"), re.MULTILINE) == targets


def test_no_target_is_mistaken_for_a_file() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    assert phony[1].split() == re.findall(r"^([a-z]+):", makefile, re.MULTILINE)


@pytest.mark.parametrize("requirement", [*DEPENDENCIES, *EXTRAS, *DEV], ids=str)
def test_a_dependency_is_pinned_to_a_tested_version_that_its_range_admits(
    requirement: Requirement,
) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_no_pin_names_a_build_that_only_one_index_has() -> None:
    assert [version for version in pins().values() if "+" in version] == []


def test_every_package_that_the_code_imports_is_declared() -> None:
    foreign = imported() - set(sys.stdlib_module_names) - {"rag"}
    declared = {canonicalize_name(requirement.name) for requirement in DEPENDENCIES + EXTRAS}
    owners = packages_distributions()
    assert {name: owners[name] for name in foreign if owned(owners[name]) & declared == set()} == {}


def imported() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "rag").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names


def owned(packages: list[str]) -> set[str]:
    return {canonicalize_name(package) for package in packages}


def test_the_licence_that_is_named_is_the_one_that_is_shipped() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.split("\n", 3)[1:3] == [
        "                                 Apache License",
        "                           Version 2.0, January 2004",
    ]


def test_the_version_is_said_once() -> None:
    assert rag.__version__ == PROJECT["version"]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_imported(module: str) -> None:
    importlib.import_module(module)


def test_no_tracked_file_names_a_folder_of_somebodys_machine() -> None:
    home = re.compile(rb"/(?:home|root|Users)/\w")
    assert [path for path in tracked() if home.search((ROOT / path).read_bytes())] == []


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    done = subprocess.run(
        # The checkout may belong to another user, as in a container.
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for path in done.stdout.split("\0") if path and (ROOT / path).is_file()]
