"""MLflow runs under the name that everybody imports them by."""

from resources.tracking.resource import PENDING, Run, SpoolUnnamed, Tracking, TrackingFailed

__all__ = ["PENDING", "Run", "SpoolUnnamed", "Tracking", "TrackingFailed"]
