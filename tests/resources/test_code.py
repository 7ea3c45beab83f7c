"""The hash of the code behind a function: what counts, what does not, and that nothing is imported to know it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resources.code import CodeNotFound, closure, code_hash, git_people, git_state, source

FILES = {
    "acme_code/__init__.py": "",
    "acme_code/models/__init__.py": "",
    "acme_code/models/churn/__init__.py": "",
    "acme_code/models/churn/train.py": (
        '"""Fits."""\n\nimport polars as pl\n\n'
        "from acme_code.features import windows\nfrom acme_code.models.churn.helper import scaled\n\n\n"
        'def fit(data, log):\n    """Fit it."""\n    # a comment\n    return {"rate": scaled(0.1)}\n'
    ),
    "acme_code/models/churn/helper.py": "def scaled(value):\n    return value * 2\n",
    "acme_code/models/delay/__init__.py": "",
    "acme_code/models/delay/train.py": "def fit(data, log):\n    return {}\n",
    "acme_code/features/__init__.py": "",
    "acme_code/features/windows.py": "DAYS = 30\n",
    "acme_code/unused.py": "X = 1\n",
}
FIT = "acme_code.models.churn.train:fit"
CLOSURE = (
    "acme_code", "acme_code.features", "acme_code.features.windows", "acme_code.models", "acme_code.models.churn",
    "acme_code.models.churn.helper", "acme_code.models.churn.train",
)  # fmt: skip


class Project:
    """A package on the path, never imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._age = 0
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self._age += 1
        os.utime(path, ns=(self._age * 10**9, self._age * 10**9))

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def hash(self, entry: str = FIT) -> str:
        return code_hash(entry, inside="acme_code")

    def closure(self) -> tuple[str, ...]:
        return closure(FIT, inside="acme_code")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return Project(tmp_path)


def test_the_closure_is_what_running_it_imports_from_the_project(project: Project) -> None:
    assert project.closure() == CLOSURE


def test_nothing_is_imported_to_know_it(project: Project) -> None:
    project.write("acme_code/models/churn/helper.py", "raise RuntimeError('imported')\n\ndef scaled(value): ...\n")
    project.hash()
    assert not [name for name in sys.modules if name.startswith("acme_code")]


TRAIN = "acme_code/models/churn/train.py"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (TRAIN, "# a comment", "# another"),
        (TRAIN, '"""Fit it."""', '"""Fit it well."""'),
        (TRAIN, '    """Fit it."""\n', ""),
        (TRAIN, '"""Fits."""\n\n', ""),
        (TRAIN, 'return {"rate": scaled(0.1)}', "return {\n        'rate': scaled(\n            0.1\n        )\n    }"),
        ("acme_code/unused.py", "X = 1", "X = 2"),
        ("acme_code/models/delay/train.py", "return {}", "return None"),
        ("acme_code/models/__init__.py", "", '"""Models."""\n'),
    ],
)
def test_what_changes_no_behaviour_changes_no_hash(project: Project, name: str, old: str, new: str) -> None:
    before = project.hash()
    project.change(name, old, new)
    assert project.hash() == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (TRAIN, "0.1", "0.2"),
        (TRAIN, "scaled(0.1)", "scaled(-0.1)"),
        ("acme_code/models/churn/helper.py", "value * 2", "value * 3"),
        ("acme_code/features/windows.py", "30", "31"),
        ("acme_code/models/churn/__init__.py", "", "import acme_code.unused\n"),
        ("acme_code/__init__.py", "", "FLAG = True\n"),
    ],
)
def test_what_may_change_behaviour_changes_the_hash(project: Project, name: str, old: str, new: str) -> None:
    before = project.hash()
    project.change(name, old, new)
    assert project.hash() != before


def test_two_functions_of_one_module_have_two_hashes(project: Project) -> None:
    project.change(TRAIN, "def fit(", "def other(data):\n    return data\n\n\ndef fit(")
    assert project.hash() != project.hash("acme_code.models.churn.train:other")


@pytest.mark.parametrize(
    "statement",
    [
        "import acme_code.unused",
        "from acme_code import unused",
        "from acme_code.unused import X",
        "from acme_code.unused import *",
        "from ... import unused",
        "from ...unused import X",
        "def later():\n    from acme_code.unused import X",
        "try:\n    import acme_code.unused as u\nexcept ImportError:\n    u = None",
        "if True:\n    import acme_code.unused",
    ],
)
def test_every_form_of_import_is_followed(project: Project, statement: str) -> None:
    project.change(TRAIN, "import polars as pl", statement)
    assert project.closure() == (*CLOSURE, "acme_code.unused")


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_what_only_a_type_checker_imports_does_not_count(project: Project, test: str) -> None:
    project.change(TRAIN, "import polars as pl", f"if {test}:\n    import acme_code.unused\nelse:\n    pass")
    assert project.closure() == CLOSURE


def test_a_circle_of_imports_ends(project: Project) -> None:
    project.change("acme_code/features/windows.py", "DAYS", "import acme_code.models.churn.train\nDAYS")
    assert project.closure() == CLOSURE


def test_a_package_without_an_init_file_is_walked_through(project: Project) -> None:
    (project.folder / "acme_code/features/__init__.py").unlink()
    assert project.closure() == tuple(name for name in CLOSURE if name != "acme_code.features")


def test_the_windows_of_the_platform_count_when_they_are_imported(project: Project) -> None:
    project.change(
        "acme_code/features/windows.py", "DAYS", "from mlops_assets.specs import Log\nfrom mlops_assets.windows import mean\nDAYS"
    )
    assert project.closure() == (*CLOSURE, "mlops_assets.windows")


def test_a_module_can_be_its_own_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "acme_single.py").write_text("def score(parts, rows):\n    return rows\n")
    assert closure("acme_single:score", inside="acme_single") == ("acme_single",)
    assert source("acme_single") == tmp_path / "acme_single.py"


def test_the_file_of_a_module_is_found(project: Project) -> None:
    assert source("acme_code.models.churn.helper") == project.folder / "acme_code/models/churn/helper.py"
    assert source("acme_code.models") == project.folder / "acme_code/models/__init__.py"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("acme_code.models.churn.train", "does not name a function"),
        ("acme_code.models.churn.train:", "does not name a function"),
        ("acme_code.models.churn.train:predict", "has no `predict`"),
        ("acme_code.models.lost.train:fit", "no such Python file"),
        ("acme_nowhere.train:fit", "no such Python file"),
    ],
)
def test_an_entry_that_leads_nowhere_is_named(project: Project, entry: str, why: str) -> None:
    with pytest.raises(CodeNotFound, match=why):
        project.hash(entry)


def test_an_import_that_leads_nowhere_is_named_with_its_importer(project: Project) -> None:
    project.change("acme_code/models/churn/helper.py", "def ", "import acme_code.lost\n\n\ndef ")
    with pytest.raises(CodeNotFound, match=r"acme_code\.models\.churn\.helper: it imports acme_code\.lost, which does not exist"):
        project.hash()


def test_a_module_that_is_no_python_is_named_with_its_line(project: Project) -> None:
    project.write("acme_code/models/churn/helper.py", "def scaled(value):\n    return (\n")
    with pytest.raises(CodeNotFound, match=r"helper\.py: line 2 is no Python"):
        project.hash()


SAY = "import sys; from resources.code import code_hash; print(code_hash(sys.argv[1], inside='acme_code'))"


def test_the_hash_is_the_same_in_another_process_place_and_hash_seed(project: Project, tmp_path: Path) -> None:
    elsewhere = Project(tmp_path / "elsewhere")
    paths = os.pathsep.join([str(elsewhere.folder), str(Path.cwd())])
    environment = {"PYTHONPATH": paths, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PATH": os.environ["PATH"]}
    said = subprocess.run([sys.executable, "-c", SAY, FIT], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == project.hash()


def git(folder: Path, *arguments: str, who: str = "t@t") -> str:
    command = ["git", "-c", "user.name=t", "-c", f"user.email={who}", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_says_its_commit_and_whether_it_is_dirty(project: Project) -> None:
    project.write(".gitignore", "ignored/\n")
    git(project.folder, "init", "-q")
    git(project.folder, "add", ".")
    assert git_state(project.folder) is None
    git(project.folder, "commit", "-qm", "first")
    commit = git(project.folder, "rev-parse", "HEAD")
    assert git_state(project.folder / "acme_code") == (commit, False)
    assert git_state(project.folder / TRAIN) == (commit, False)
    project.write("acme_code/new.py", "")
    assert git_state(project.folder / "acme_code") == (commit, True)


def test_a_commit_names_its_author_and_its_committer_as_git_was_told(project: Project) -> None:
    git(project.folder, "init", "-q")
    git(project.folder, "config", "log.showSignature", "true")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-qm", "first", "--author", "Tom <tom@acme.org>", who="mia@acme.org")
    assert git_people(project.folder, "HEAD") == ("tom@acme.org", "mia@acme.org")
    git(project.folder, "commit", "-q", "--amend", "-m", "first", "--author", "Tom <>", who="mia@acme.org")
    assert git_people(project.folder, "HEAD") == (None, "mia@acme.org")
    assert git_people(project.folder, "0" * 40) == (None, None)


def test_files_that_git_ignores_have_no_commit(project: Project) -> None:
    project.write(".gitignore", "ignored/\n")
    project.write("ignored/site-packages/acme/__init__.py", "")
    git(project.folder, "init", "-q")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-qm", "first")
    assert git_state(project.folder / "ignored/site-packages/acme") is None


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state(Path.cwd()) is None
