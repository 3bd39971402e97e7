"""`make mutants`: its list names files that exist, and it sorts what mutmut says."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from local import mutants

MUTATED = """
def take(amount_minor, cap):
    if amount_minor > cap:
        raise ValueError

def x_take__mutmut_orig(amount_minor, cap):
    if amount_minor > cap:
        raise ValueError

def x_take__mutmut_3(amount_minor, cap):
    if amount_minor >= cap:
        raise ValueError

def x_take__mutmut_4(amount_minor, cap=None):
    if amount_minor > cap:
        raise ValueError

class Probe:
    def xǁProbeǁfinish__mutmut_orig(self):
        return self.checks(1, 2)

    def xǁProbeǁfinish__mutmut_1(self):
        return self.checks(1, )
"""
CHANGE = "- if amount_minor > cap:\n+ if amount_minor >= cap:"


def module(*accepted: mutants.Accepted) -> mutants.Module:
    return mutants.Module("kyc/limits/usage.py", ("kyc/limits/tests/test_usage.py",), accepted)


@pytest.mark.parametrize("listed", mutants.modules(), ids=lambda listed: listed.path)
def test_listed_module_and_its_tests_exist(listed: mutants.Module) -> None:
    missing = [path for path in (listed.path, *listed.tests) if not (mutants.ROOT / path).is_file()]
    assert missing == [], "moved or renamed: change mutants.toml as well"
    assert listed.tests


@pytest.mark.parametrize("listed", mutants.modules(), ids=lambda listed: listed.path)
def test_what_is_accepted_changes_a_line_that_is_in_the_module_and_has_a_reason(
    listed: mutants.Module,
) -> None:
    lines = {line.strip() for line in (mutants.ROOT / listed.path).read_text().splitlines()}
    for accepted in listed.accepted:
        removed = [line[2:] for line in accepted.change.strip().splitlines() if line.startswith("- ")]
        assert removed, accepted.change
        assert [line for line in removed if line not in lines] == [], accepted.change
        assert accepted.reason.endswith(".")


def test_settings_of_mutmut_are_valid_beside_those_of_the_project() -> None:
    settings = tomllib.loads(mutants.configuration(module()))["tool"]
    assert settings["mutmut"]["only_mutate"] == ["kyc/limits/usage.py"]
    assert settings["mutmut"]["pytest_add_cli_args_test_selection"] == ["kyc/limits/tests/test_usage.py"]
    assert settings["pytest"]["ini_options"]["DJANGO_SETTINGS_MODULE"] == "amani.settings"


@pytest.mark.parametrize(
    ("mutant", "function"),
    [
        ("kyc.limits.usage.x_take__mutmut_3", "take"),
        ("observability.telemetry.health.xǁProbeǁfinish__mutmut_12", "Probe.finish"),
    ],
)
def test_mutant_names_its_function_and_the_function_its_mutants(mutant: str, function: str) -> None:
    assert mutants.function_of(mutant) == function
    path = mutant.rpartition(".")[0].replace(".", "/") + ".py"
    [pattern] = mutants.mutants_of(mutants.Module(path, (), ()), [function])
    assert fnmatch(mutant, pattern)
    assert not fnmatch(mutant.replace("__mutmut", "_too__mutmut"), pattern)


def test_change_is_what_goes_and_what_comes() -> None:
    assert mutants.changes_of(MUTATED) == {
        "x_take__mutmut_3": CHANGE,
        "x_take__mutmut_4": "- def take(amount_minor, cap):\n+ def take(amount_minor, cap=None):",
        "xǁProbeǁfinish__mutmut_1": "- return self.checks(1, 2)\n+ return self.checks(1, )",
    }


def test_decorators_are_applied_after_their_function_so_that_it_is_changed_as_well() -> None:
    code = """
@outer(1, name="x")
@inner
def first(value):
    @kept
    def local():
        return value
    return local


class Row:
    @property
    def kept(self):
        return 1


@inner
def last():
    return 2
"""
    apart = """
def first(value):
    @kept
    def local():
        return value
    return local


first = outer(1, name='x')(inner(first))


class Row:
    @property
    def kept(self):
        return 1


def last():
    return 2


last = inner(last)
"""
    assert mutants.decorated_afterwards(code) == apart
    assert mutants.decorated_afterwards(apart) == apart


def test_tests_that_were_written_since_are_copied_beside_the_mutants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mutants, "FOLDER", tmp_path)
    mutants.refresh(module())
    copied = module().folder / "kyc" / "limits" / "tests" / "test_usage.py"
    assert copied.read_text() == (mutants.ROOT / "kyc/limits/tests/test_usage.py").read_text()
    assert not (module().folder / "kyc" / "limits" / "usage.py").exists()


@pytest.mark.parametrize(
    ("accepted", "left"),
    [
        ([], 1),
        ([mutants.Accepted("take", f"{CHANGE}\n", "Equal.")], 0),
        ([mutants.Accepted("use", CHANGE, "Another function.")], 1),
    ],
)
def test_unnoticed_mutant_is_left_unless_it_is_accepted(
    accepted: list[mutants.Accepted], left: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mutants, "FOLDER", tmp_path)
    measured = module(*accepted)
    mutated = measured.folder / "mutants" / measured.path
    mutated.parent.mkdir(parents=True)
    mutated.write_text(MUTATED)
    found = {
        "kyc.limits.usage.x_take__mutmut_1": "killed",
        "kyc.limits.usage.x_take__mutmut_2": "timeout",
        "kyc.limits.usage.x_take__mutmut_3": "survived",
    }
    result = mutants.judge(measured, found)
    assert (result.mutants, result.noticed, result.accepted, len(result.left)) == (3, 2, 1 - left, left)
    assert mutants.percent([result]) == pytest.approx(200 / 3 if left else 100)
