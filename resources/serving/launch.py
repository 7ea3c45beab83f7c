"""The first moments of a service process, run by path: builds the Bento if the store lacks it, then becomes ``bentoml serve``.

Stdlib and bentoml only: it runs outside the package. The process id stays the same, so that whoever started it knows the supervisor.
"""

import json
import os
import shutil
import sys
from pathlib import Path


def main(plan: dict[str, str]) -> None:
    """Build when needed, then serve. A Bento reaches the store by one rename: a kill leaves none or a whole one."""
    bento = Path(plan["bento"])
    if plan["context"]:
        build(Path(plan["context"]), bento)
        shutil.rmtree(plan["context"])
    serve = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", plan["host"], "--port", plan["port"]]
    os.execv(sys.executable, [*serve, "--api-workers", plan["workers"]])  # noqa: S606  our own interpreter, so that the process id stays


def build(context: Path, bento: Path) -> None:
    """Build ``context`` in this run's own BENTOML_HOME and move the Bento to its place in the store."""
    import bentoml

    built = bentoml.bentos.build_bentofile(str(context / "bentofile.yaml"), version=bento.name, build_ctx=str(context))
    shutil.copyfile(
        context / "requirements.txt", Path(built.path, "env", "python", "requirements.txt")
    )  # BentoML adds a line without a hash
    bento.parent.mkdir(parents=True, exist_ok=True)
    if bento.exists():
        shutil.rmtree(bento)
    Path(built.path).rename(bento)
    (bento.parent / "latest").write_text(bento.name)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
