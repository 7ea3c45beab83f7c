"""How things are named: asset keys, groups, tags. Imports nothing but dagster; holds no definitions."""

from hashlib import sha256
from typing import Final, Literal

import dagster as dg

Stage = Literal[
    "table", "quarantine", "feature", "online", "training_set", "model", "evaluation", "release", "deployment", "prediction", "monitor"
]  # fmt: skip

MODEL_TAG: Final = "mlops/model"
CUTOFF_TAG: Final = "mlops/cutoff"
REASON_TAG: Final = "mlops/reason"
MONTH_TAG: Final = "mlops/month"


def key(stage: Stage, noun: str, name: str) -> dg.AssetKey:
    """The address of an asset: always ``stage/noun/name``."""
    return dg.AssetKey([stage, noun, name])


def table(address: str, *, stage: Stage = "table") -> dg.AssetKey:
    """The key of a table, view or quarantine whose ``noun/name`` is known."""
    noun, name = address.split("/")
    return key(stage, noun, name)


def address(asset_key: dg.AssetKey) -> str:
    """The key as one string: what the lake, metadata and messages call the asset."""
    return "/".join(asset_key.path)


def group(asset_key: dg.AssetKey) -> str:
    """Whose it is, then its stage: ``flight_delay/training_set`` selects as ``group:"flight_delay/*"``."""
    stage, noun, _ = asset_key.path
    return f"{noun}/{stage}"


def short(what: object) -> str:
    """A name of sixteen letters for a value, made of its ``repr``: what run keys and cursors call it."""
    return sha256(repr(what).encode()).hexdigest()[:16]
