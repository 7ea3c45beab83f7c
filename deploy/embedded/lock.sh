#!/bin/sh
# Makes both locks from pyproject.toml: hashed, for every system and Python that it allows, naming no host. Needs a network.
# Versions already locked stay: pass --upgrade, or --upgrade-package NAME, to move them.
set -eu
cd "$(dirname "$0")/../.."

compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-annotate --no-header --no-strip-extras "$@" >/dev/null
}

compile pyproject.toml --extra serve --extra k8s --extra formats --extra dev --output-file requirements.lock "$@"

# The serving extra alone, without the platform's own dependencies, at the versions of the lock above.
.venv/bin/python - <<'PYTHON' | compile - --constraints requirements.lock --output-file requirements-serve.lock
import pathlib, tomllib
print(*tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]["optional-dependencies"]["serve"], sep="\n")
PYTHON
