"""Archive to inbox, by hand: what a CI job or a person without a daemon runs before the first ``--partition``. Ingests nothing itself."""

import dagster as dg

from mlops_assets.keys import MONTH_TAG
from mlops_assets.partitions import months_of
from mlops_assets.specs import Catalogue
from resources.inbox import Inbox


def arrival(catalogue: Catalogue) -> dg.JobDefinition:
    """``arrive_<project>``: archive files of the months in the run's tag go into the inbox; each month that lies there is a partition."""
    months = months_of(catalogue.project)
    monthly = {spec.table for spec in catalogue.sources if spec.partitions is not None}

    @dg.op(name="deliver", description="Put archive files into the inbox; make a partition of each month that is there.")
    def deliver(context: dg.OpExecutionContext, inbox: Inbox) -> None:
        wanted = [month for month in context.run.tags.get(MONTH_TAG, "").replace(" ", "").split(",") if month]
        for spec in catalogue.sources:
            if spec.archive is not None:
                for month in wanted if spec.table in monthly else [None]:
                    inbox.deliver(spec.table, month, spec.archive(month))
        arrived = sorted({one.month for one in inbox.arrivals() if one.month and one.table in monthly})
        context.instance.add_dynamic_partitions(str(months.name), arrived)
        context.log.info("In the inbox: %s.", ", ".join(arrived) or "no month")

    return dg.GraphDefinition(
        name=f"arrive_{catalogue.project}", node_defs=[deliver], description=f"Let months arrive by hand: tag {MONTH_TAG}=2013-01,2013-02."
    ).to_job()  # pyright: ignore[reportUnknownMemberType]  half of its signature is typed
