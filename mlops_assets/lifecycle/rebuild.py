"""A past version, made again from its record: data by version, code at its commit, environment by lock; then compared, hash by hash.

The fit runs in a process of its own, from a clean worktree (``refit``). Nothing is released and nothing in the lake changes.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg

from mlops_assets.keys import address, key
from mlops_assets.specs import Catalogue
from resources.code import source
from resources.errors import PlatformError
from resources.lake import Lake
from resources.registry.identity import sha256
from resources.registry.releases import MANIFEST, Release, Releases
from resources.registry.resource import Registry
from resources.registry.sameness import Kept, differences
from resources.registry.states import Entry
from resources.serving.lock import LOCK, differing, serving_lock
from resources.settings import child_environment
from resources.worktree import CommitNotHere, top, worktree

HERE: Final = Path(__file__).with_name("refit.py")
SECONDS: Final = 3600


class NotRegistered(PlatformError):
    """A version that the ledger does not know."""

    def __init__(self, *, model: str, version: int, known: int) -> None:
        super().__init__(f"{model} has no version {version}: the ledger knows 1 to {known}. Nothing was rebuilt. Name one of them.")


class NoCommit(PlatformError):
    """A version whose code is in no commit that its record names."""

    def __init__(self, *, model: str, version: int, package: str) -> None:
        super().__init__(
            f"{model} version {version} was trained outside of a git checkout, so its record names no commit to take its code from. "
            f"Nothing was rebuilt. Keep {package} in git; with `anyway: true` the code that is here is taken, and its hash compared."
        )


class OtherEnvironment(PlatformError):
    """Libraries that are not those of then."""

    def __init__(self, *, model: str, version: int, lock: str, why: str) -> None:
        super().__init__(
            f"{model} version {version} was trained with lock {lock[:12]}, and {why}. Nothing was rebuilt, because other libraries may fit "
            "another model. Install that lock's versions into an environment and run there, or say `anyway: true` to see what differs."
        )


class NotRebuilt(PlatformError):
    """The code of then ran and came to no model."""

    def __init__(self, *, model: str, version: int, why: str) -> None:
        super().__init__(f"{model} version {version} could not be rebuilt: {why}")


class RebuiltOtherwise(PlatformError):
    """A rebuild that is not the version that was released."""

    def __init__(self, *, model: str, version: int, found: list[str], dirty: bool) -> None:
        more = f" {len(found) - 1} more differences follow from it or stand beside it." if len(found) > 1 else ""
        why = " Its checkout had uncommitted changes when it was trained." if dirty else ""
        super().__init__(
            f"{model} version {version} was rebuilt and is not the same. First difference: {found[0]}.{more}{why} "
            "The released version is untouched and stays what it is."
        )


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """A version that came out equal: how many files were compared, and whether the lake's training set is the one that was made again."""

    model: str
    version: int
    content_hash: str
    commit: str | None
    lock: str
    files: int
    training_set_equal: bool
    seconds: float

    def __str__(self) -> str:
        rows = "equals the one in the lake" if self.training_set_equal else "is not the one that is in the lake now"
        return (
            f"{self.model} version {self.version} {self.content_hash[:12]}: equal, {self.files} of {self.files} files, rebuilt in "
            f"{self.seconds:.0f} s at commit {(self.commit or 'not recorded')[:12]} with lock {self.lock[:12]}; its training set {rows}."
        )


def rebuilt(registry: Registry, lake: Lake, *, package: str, model: str, version: int, anyway: bool = False) -> Rebuilt:
    """Make a version again and compare.

    Raises:
        NotRegistered, NoCommit, CommitNotHere, OtherEnvironment, NotRebuilt: nothing could be compared.
        RebuiltOtherwise: the first thing that differs.
    """
    entry = _registered(registry, model, version)
    release = registry.load(entry)
    commit: str | None = release.record["provenance"]["git"]["commit"]
    if commit is None and not anyway:
        raise NoCommit(model=model, version=version, package=package)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rebuild-") as scratch, _code(package, commit, anyway=anyway) as root:
        if not anyway:
            demand_lock(root, release, version=version)
        folder = Path(scratch).resolve()
        asked = {"catalogue": f"{package}.catalogue", "model": model, "record": release.record, "lake": lake.uri("").rstrip("/")}
        answer = _fit(asked, root, folder, version=version)
        releases = Releases(folder / "releases")
        again = releases.load(model, answer["content_hash"])
        was, now = _kept(registry.releases(), release), _kept(releases, again)
    if found := list(differences(was, now)):
        raise RebuiltOtherwise(model=model, version=version, found=found, dirty=release.record["provenance"]["git"]["dirty"])
    cutoff, examples = release.record["identity"]["cutoff"], address(key("training_set", model, "examples"))
    there = lake.digests(examples).get(cutoff) if lake.exists(examples) else None
    return Rebuilt(
        model=model, version=version, content_hash=release.content_hash, commit=commit, lock=release.record["identity"]["lock"],
        files=len(now.files), training_set_equal=there == answer["training_set"], seconds=time.monotonic() - began,
    )  # fmt: skip


class Wanted(dg.Config):
    """Which version; ``anyway``: with the code and the libraries that are here, where those of then are not."""

    model: str
    version: int
    anyway: bool = False


def rebuild(catalogue: Catalogue) -> dg.JobDefinition:
    """``rebuild``: makes a past version again and compares. The run fails with the first difference."""

    @dg.op(name="refit", description="Fit a past version again from its record and compare every hash.", out=dg.Out(dg.Nothing))
    def again(context: dg.OpExecutionContext, config: Wanted, registry: Registry, lake: Lake) -> None:
        model, version = config.model, config.version
        found = rebuilt(registry, lake, package=catalogue.package, model=model, version=version, anyway=config.anyway)
        context.log.info(str(found))
        context.add_output_metadata({"rebuilt": str(found), "content_hash": found.content_hash, "seconds": round(found.seconds, 1)})

    return dg.GraphDefinition(
        name="rebuild", node_defs=[again], description="Make a past version again from its record: equal, or the first difference."
    ).to_job()  # pyright: ignore[reportUnknownMemberType]  half of its signature is typed


def _registered(registry: Registry, model: str, version: int) -> Entry:
    known = {entry.version: entry for entry in registry.ledger().entries(model) if entry.kind == "registered"}
    if version not in known:
        raise NotRegistered(model=model, version=version, known=len(known))
    return known[version]


@contextmanager
def _code(package: str, commit: str | None, *, anyway: bool) -> Generator[Path]:
    """The folder from which the project is imported: in a worktree of the commit, or where it is now."""
    here = source(package).parents[len(package.split("."))]
    repository = top(here)
    if commit is None or (repository is None and anyway):
        yield here
    elif repository is None:
        raise CommitNotHere(commit=commit, repository=here, why="that is no git checkout")
    else:
        with worktree(repository, commit) as folder:
            yield folder / here.relative_to(repository)


def demand_lock(root: Path, release: Release, *, version: int) -> None:
    """Refuse an environment that is not that of the version's lock."""
    lock = release.record["identity"]["lock"]
    texts = [path.read_bytes() for path in (root / LOCK, serving_lock()) if path.is_file()]
    text = next((one for one in texts if sha256(one) == lock), None)
    if text is None:
        raise OtherEnvironment(model=release.model, version=version, lock=lock, why="neither its commit nor this platform has that lock")
    if wrong := differing(text.decode()):
        raise OtherEnvironment(model=release.model, version=version, lock=lock, why="; ".join(wrong))


def _fit(asked: dict[str, Any], root: Path, folder: Path, *, version: int) -> dict[str, Any]:
    """What the process of then answered: its own ``refit``, where its commit has one."""
    request, theirs = folder / "request.json", root / "mlops_assets" / "lifecycle" / HERE.name
    request.write_text(json.dumps(asked))
    environment = child_environment(PYTHONDONTWRITEBYTECODE="1")
    environment["PYTHONPATH"] = ":".join(filter(None, [str(root), environment.get("PYTHONPATH")]))
    command = [sys.executable, "-P", str(theirs if theirs.is_file() else HERE), str(request)]
    done = subprocess.run(  # noqa: S603  our own script
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    if done.returncode:
        why = f"the code of its commit ended with: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"
        raise NotRebuilt(model=asked["model"], version=version, why=why)
    answer: dict[str, Any] = json.loads(request.with_name("answer.json").read_text())
    if "refused" in answer:
        raise NotRebuilt(model=asked["model"], version=version, why=f"{'first difference: data. ' * answer['data']}{answer['refused']}")
    return answer


def _kept(releases: Releases, release: Release) -> Kept:
    listed = json.loads(releases.files(release.model, release.content_hash)[MANIFEST])["files"]
    files = {name: about["sha256"] for name, about in listed.items()}
    return Kept(content_hash=release.content_hash, identity=release.record["identity"], files=files)
