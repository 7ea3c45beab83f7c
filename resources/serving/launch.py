"""The first moments of a service process, run by path: builds the Bento if the store lacks it, then becomes ``bentoml serve``.

Stdlib and bentoml only: it runs outside the package. The process id stays the same, so that whoever started it knows the supervisor.
"""

import os
import shutil
import sys
from pathlib import Path


def build(context: Path, bento: Path) -> None:
    """Build ``context`` in this run's own BENTOML_HOME and move the Bento to its place in the store: a kill leaves none or a whole one."""
    import bentoml

    built = bentoml.bentos.build_bentofile(str(context / "bentofile.yaml"), version=bento.name, build_ctx=str(context))
    requirements = Path(built.path, "env", "python", "requirements.txt")
    requirements.parent.mkdir(parents=True, exist_ok=True)
    # Named in the bentofile, BentoML adds a line without a hash, and refuses files below a hidden folder such as .mlops.
    shutil.copyfile(context / "requirements.txt", requirements)
    bento.parent.mkdir(parents=True, exist_ok=True)
    Path(built.path).rename(bento)
    (bento.parent / "latest").write_text(bento.name)


if __name__ == "__main__":
    store, staged, host, port = sys.argv[1:]
    if not Path(store).exists():
        build(Path(staged), Path(store))
    shutil.rmtree(staged)
    serve = [sys.executable, "-m", "bentoml", "serve", store, "--host", host, "--port", port, "--api-workers", "1"]
    os.execv(sys.executable, serve)  # noqa: S606  our own interpreter, so that the process id stays
