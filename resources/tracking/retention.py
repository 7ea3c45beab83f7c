"""MLflow runs that ended badly or long ago: closed, deleted, or brought back. Knows which runs are ours, not who needs them."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from resources.tracking import spool
from resources.tracking.resource import Tracking
from resources.tracking.store import KEY_TAG, NAME_TAG
from resources.whole import weight

CONTENT_HASH_TAG: Final = "content_hash"
DAGSTER_RUN_TAG: Final = "dagster_run"
FREED_TAG: Final = "mlops.freed"
PAGE: Final = 1000


def reap(tracking: Tracking, over: Callable[[str], bool]) -> list[str]:
    """Close each run of ours that is RUNNING though the Dagster run that made it is ``over``; a sentence for each."""
    with tracking.alone("close runs that were left") as client:
        left = [
            run
            for run in _ours(client, "attributes.status = 'RUNNING'")
            if over(run.data.tags.get(DAGSTER_RUN_TAG, "")) and not spool.waiting(tracking.spool_folder, run.data.tags.get(NAME_TAG, "-"))
        ]
        for run in left:
            client.set_terminated(run.info.run_id, "KILLED")
    return [f"run {run.info.run_id} ({run.info.run_name}) was RUNNING after its Dagster run had ended; it is KILLED now" for run in left]


def unneeded(
    tracking: Tracking, experiments: Collection[str], *, needed: Collection[str], kept: Collection[str], before: datetime
) -> list[Any]:
    """Runs that began before ``before``, have ended, are not ``needed`` by id and made none of the releases that are ``kept`` by hash."""
    until = int(before.timestamp() * 1000)
    with tracking.alone("list old runs") as client:
        found = list(_ours(client, f"attributes.status != 'RUNNING' and attributes.start_time < {until}", experiments))
    return [run for run in found if not _known(run) & {*needed} and run.data.tags.get(CONTENT_HASH_TAG) not in kept]


def delete(tracking: Tracking, experiments: Collection[str], runs: Collection[Any]) -> None:
    """Delete runs as MLflow's UI does; a file store then forgets them for good, which a server leaves to its administrator."""
    with tracking.alone("delete old runs") as client:
        for run in runs:
            client.set_tag(run.info.run_id, FREED_TAG, datetime.now(UTC).isoformat())
            client.delete_run(run.info.run_id)
        if tracking.local:
            _forget(client, [*_ours(client, f"tags.`{FREED_TAG}` != ''", experiments, deleted=True)])


def restore(tracking: Tracking, experiments: Collection[str], needed: Collection[str]) -> list[str]:
    """Bring back runs that somebody deleted and that are needed, before a `gc` takes them; a sentence for each."""
    with tracking.alone("restore runs") as client:
        back = [run for run in _ours(client, "", experiments, deleted=True) if _known(run) & {*needed}]
        for place in {run.info.experiment_id for run in back}:
            if client.get_experiment(place).lifecycle_stage == "deleted":
                client.restore_experiment(place)
        for run in back:
            if client.get_run(run.info.run_id).info.lifecycle_stage == "deleted":
                client.restore_run(run.info.run_id)
    return [f"run {run.info.run_id} ({run.info.run_name}) had been deleted by hand and a release needs it; it is back" for run in back]


def _known(run: Any) -> set[str]:
    """How records name a run: by its id, or by its name if MLflow had not heard of it."""
    return {run.info.run_id, spool.PENDING + run.data.tags.get(NAME_TAG, "")}


def size(run: Any) -> int:
    """Bytes of a run's artifacts, where they are files here; of others a server knows."""
    place = urlsplit(str(run.info.artifact_uri))
    folder = Path(unquote(place.path))
    return weight(folder) if place.scheme in {"", "file"} else 0


def _ours(client: Any, wanted: str, experiments: Collection[str] | None = None, *, deleted: bool = False) -> Iterator[Any]:
    """Runs that the platform made, in experiments of these names or in all."""
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    known = client.search_experiments(view_type=ViewType.ALL if deleted else view)
    places = [one.experiment_id for one in known if experiments is None or one.name in experiments]
    asked, token = " and ".join(filter(None, [f"tags.`{KEY_TAG}` != ''", wanted])), None
    while places:
        page = client.search_runs(places, asked, view, max_results=PAGE, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _forget(client: Any, runs: Iterable[Any]) -> None:
    """What `mlflow gc` does to runs; the command itself takes every deleted experiment and logged model with them, whoever needs those."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    for run in runs:
        files: Any = get_artifact_repository(run.info.artifact_uri)
        files.delete_artifacts()
        client._tracking_client.store._hard_delete_run(run.info.run_id)  # noqa: SLF001  # pinned by tests/upstream: no public name does only this
