"""What the environment may say, and what is said of a mistake in it."""

import os
from dataclasses import FrozenInstanceError, asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from resources.settings import QUIET, BadSetting, Settings, UnknownSetting, be_quiet, child_environment, handed_over, hold_service

REPORTS_BY: Final = {
    "DO_NOT_TRACK": "evidently/telemetry.py",
    "ITERATIVE_DO_NOT_TRACK": "iterative_telemetry/__init__.py",
    "DAGSTER_DISABLE_TELEMETRY": "dagster/_core/telemetry_upload.py",
    "MLFLOW_DISABLE_TELEMETRY": "mlflow/environment_variables.py",
    "BENTOML_DO_NOT_TRACK": "bentoml/_internal/utils/analytics/usage_stats.py",
}


def test_an_empty_environment_is_embedded_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({}) == Settings(environment="embedded", home=tmp_path / ".mlops")


def test_an_empty_variable_is_an_unset_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({"MLOPS_HOME": "", "MLOPS_LAKE_URI": "", "MLOPS_ENVIRONMENT": ""}) == Settings.from_environment({})


def test_a_relative_home_becomes_absolute_and_an_absolute_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({"MLOPS_HOME": "state"}).home == tmp_path / "state"
    monkeypatch.chdir("/")
    assert Settings.from_environment({"MLOPS_HOME": str(tmp_path)}).home == tmp_path


def test_a_home_below_the_users_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.from_environment({"MLOPS_HOME": "~/mlops"}).home == tmp_path / "mlops"


def test_the_folder_of_keys_may_start_at_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.from_environment({"MLOPS_KEYS": "~/keys"}).keys == tmp_path / "keys"
    assert Settings.from_environment({}).keys is None


def test_the_environment_of_this_process_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ENVIRONMENT", "production")
    assert Settings.from_environment().environment == "production"


def test_production_loads_with_nothing_else_set() -> None:
    settings = Settings.from_environment({"MLOPS_ENVIRONMENT": "production"})
    assert settings.ledger_url is None


def test_each_url_reaches_its_own_field() -> None:
    environ = {
        "MLOPS_LAKE_URI": "s3://lake/tables",
        "MLOPS_LEDGER_URL": "postgresql+psycopg://mlops@ledger/mlops",
        "MLOPS_FEATURES_URL": "postgresql+psycopg://mlops@features/feast",
        "MLOPS_TRACKING_URI": "http://tracking:5000",
        "MLOPS_ARTIFACTS_URI": "s3://artifacts",
    }
    said = {f"MLOPS_{name.upper()}": value for name, value in asdict(Settings.from_environment(environ)).items() if isinstance(value, str)}
    assert said == {**environ, "MLOPS_ENVIRONMENT": "embedded", "MLOPS_SERVICE": "detached"}


@pytest.mark.parametrize(("value", "hint"), [("prodction", "Did you mean production?"), ("x", "Known are embedded, production.")])
def test_a_mistyped_environment_is_one_clear_sentence(value: str, hint: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_environment({"MLOPS_ENVIRONMENT": value})
    assert str(refused.value) == f"MLOPS_ENVIRONMENT is {value!r}, which is no environment, so nothing was started. {hint}"


def test_an_unknown_setting_is_refused_with_the_closest_name() -> None:
    with pytest.raises(UnknownSetting, match=r"MLOPS_LAKE_URL is not a setting.* Did you mean MLOPS_LAKE_URI\?"):
        Settings.from_environment({"MLOPS_LAKE_URL": "s3://lake"})


def test_an_unknown_setting_far_from_any_name_gets_the_list() -> None:
    with pytest.raises(UnknownSetting, match=r"Known are MLOPS_ARTIFACTS_URI, .*MLOPS_UI_PORTS\."):
        Settings.from_environment({"MLOPS_X": "1"})


@pytest.mark.parametrize("value", ["lake", "://lake", "s3://", "http://[::1"])
def test_what_is_no_url_is_refused_by_name(value: str) -> None:
    with pytest.raises(BadSetting, match=r"^MLOPS_LAKE_URI is .* which is no URL"):
        Settings.from_environment({"MLOPS_LAKE_URI": value})


@pytest.mark.parametrize("value", ["sqlite:///ledger.db", "sqlite://", "sqlite:ledger.db"])
def test_a_database_in_the_working_directory_is_refused(value: str) -> None:
    with pytest.raises(BadSetting, match=r"^MLOPS_LEDGER_URL is 'sqlite:.*(absolute path, sqlite:////folder/file\.db|no URL)"):
        Settings.from_environment({"MLOPS_LEDGER_URL": value})


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadSetting, match="MLOPS_LEDGER_URL holds a password") as refused:
        Settings.from_environment({"MLOPS_LEDGER_URL": "postgresql://mlops:hunter2@ledger/mlops"})
    assert "hunter2" not in str(refused.value)


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    settings = Settings.from_environment({})
    with pytest.raises(FrozenInstanceError):
        settings.environment = "production"  # pyright: ignore[reportAttributeAccessIssue]  # the assignment is the test


@pytest.mark.parametrize("name", QUIET)
def test_each_name_that_stops_reporting_is_read_by_the_library(name: str) -> None:
    package, _, rest = REPORTS_BY[name].partition("/")
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert f'"{name}"' in (Path(spec.origin).parent / rest).read_text()


def test_this_process_and_its_children_do_not_report_unless_they_were_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    monkeypatch.delenv("LIBRARY_LINKS", raising=False)
    be_quiet(LIBRARY_LINKS="off")
    assert os.environ["LIBRARY_LINKS"] == "off"
    assert {name: os.environ[name] for name in QUIET} == {**QUIET, "DO_NOT_TRACK": "0"}
    child = child_environment(MLOPS_HOME="/srv/mlops")
    assert child["MLOPS_HOME"] == "/srv/mlops"
    assert child["DO_NOT_TRACK"] == "0"
    assert child["BENTOML_DO_NOT_TRACK"] == "True"
    assert "MLOPS_HOME" not in os.environ


def test_a_child_sees_what_was_handed_over_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert handed_over("RUN_RECORD") is None
    monkeypatch.setenv("RUN_RECORD", "/srv/run.json")
    assert handed_over("RUN_RECORD") == "/srv/run.json"


def test_a_held_service_is_a_setting_that_children_inherit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SERVICE", "detached")
    hold_service()
    assert Settings.from_environment().service == "held"
    assert child_environment()["MLOPS_SERVICE"] == "held"
    with pytest.raises(BadSetting, match=r"^MLOPS_SERVICE is 'hold', which is no service.* Did you mean held\?$"):
        Settings.from_environment({"MLOPS_SERVICE": "hold"})
