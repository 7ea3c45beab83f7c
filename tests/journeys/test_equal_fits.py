"""The real classifier, fitted on January to March: the same bytes whatever the number of threads, the time zone and the hash seed."""

import subprocess
import sys
from pathlib import Path

from resources.settings import child_environment

FIT = """
import hashlib, sys
import polars as pl
from mlops_assets.flights.catalogue import CATALOGUE
from mlops_assets.lifecycle.training import split
from resources.lake import LocalLake
from resources.registry.releases import _encoded

class Silent:
    def params(self, **params): pass
    def metric(self, name, value, *, step=0): pass

spec = next(one for one in CATALOGUE.models if one.name == "flight_delay")
rows = LocalLake(root=sys.argv[1]).read("training_set/flight_delay/examples", partitions=["2013-03"]).collect()
data, _ = split(spec, rows, cutoff="2013-03")
parts = spec.train(data, Silent())
stored = [_encoded(spec.name, name, part) for name, part in sorted(parts.items())]
answers = spec.score(parts, rows.select(spec.feature_names).head(2000))
print(hashlib.sha256(repr(stored).encode()).hexdigest(), hashlib.sha256(answers.to_numpy().tobytes()).hexdigest(), pl.thread_pool_size())
"""
HERE = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "TZ": "UTC", "PYTHONHASHSEED": "0"}
ELSEWHERE = {"OMP_NUM_THREADS": "3", "POLARS_MAX_THREADS": "3", "TZ": "Australia/Lord_Howe", "PYTHONHASHSEED": "4242"}


def fitted(home: Path, environment: dict[str, str]) -> list[str]:
    """Hash of the parts as they are stored, hash of their answers, and how many threads Polars had."""
    command = [sys.executable, "-c", FIT, str(home / "lake")]
    done = subprocess.run(command, env=child_environment(**environment), capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.split()


def test_trees_and_answers_are_equal_on_one_thread_and_on_three(year: tuple[Path, str]) -> None:
    one, three = fitted(year[0], HERE), fitted(year[0], ELSEWHERE)
    assert (one[2], three[2]) == ("1", "3")
    assert one[:2] == three[:2]
