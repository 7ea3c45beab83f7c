"""scikit-learn estimators as skops archives: equal estimators are equal bytes, and only what is listed here is built from one.

An archive is looked through here before skops sees it, because skops knows more kinds of node (partials, methods, operators, older
protocols) than an estimator needs. See https://skops.readthedocs.io/en/stable/persistence.html.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any, Final, cast

from resources.registry.formats import Refusal, array_bytes, read_array
from resources.registry.identity import sha256

TRUSTED: Final = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
)
"""Types that are built beside those that skops trusts by itself. A tree's node indices are not bounds-checked by scikit-learn: a forged
one can crash a process, run nothing; only signed bytes come here."""

NODES: Final = frozenset(
    {
        "DTypeNode", "DictNode", "FunctionNode", "JsonNode", "ListNode", "LossNode", "NdArrayNode", "ObjectNode", "RandomGeneratorNode",
        "RandomStateNode", "SliceNode", "TreeNode", "TupleNode", "TypeNode",
    }
)  # fmt: skip
PACKAGES: Final = frozenset({"numpy", "sklearn"})
PLAIN: Final = frozenset(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "slice", "str", "tuple"))
PROTOCOL: Final = 2
SCHEMA: Final = "schema.json"
_MEMBER: Final = re.compile(r"[0-9a-f]{64}\.npy")
_UNSTABLE: Final = frozenset({"__id__", "_skops_version"})
"""Addresses in memory, by which skops tells shared objects, and its own version: neither is part of what an estimator is."""


def estimator_bytes(estimator: Any) -> bytes:
    """An estimator as an archive that is the same for equal estimators: members named by content, no addresses, no times, no padding."""
    from skops.io import dumps
    from skops.io.exceptions import UnsupportedTypeException

    try:
        written = dumps(estimator)
    except (UnsupportedTypeException, TypeError, RecursionError) as problem:
        raise Refusal(f"skops cannot hold it: {problem}") from problem
    arrays: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        schema = _stable(json.loads(archive.read(SCHEMA)), archive, arrays)
    _looked_through(schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(arrays.items()):
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.writestr(zipfile.ZipInfo(SCHEMA), json.dumps(schema, separators=(",", ":")))
    read_estimator(buffer.getvalue())
    return buffer.getvalue()


def read_estimator(content: bytes) -> Any:
    """The estimator in an archive that holds nothing but trusted types."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if sum(one.file_size for one in members) > len(content) or any(one.compress_type != zipfile.ZIP_STORED for one in members):
            raise Refusal("its members are compressed or overlap")
        for one in members:
            if one.filename == SCHEMA:
                _looked_through(json.loads(archive.read(one)))
            elif _MEMBER.fullmatch(one.filename):
                read_array(archive.read(one))
            else:
                raise Refusal(f"it has a member {one.filename[:80]!r}")
    from skops.io import loads

    return loads(content, trusted=list(TRUSTED))


def _stable(node: Any, archive: zipfile.ZipFile, arrays: dict[str, bytes]) -> Any:
    """A schema without what changes from one process to the next; the arrays it names are put into ``arrays`` by their new names."""
    if isinstance(node, list):
        return [_stable(item, archive, arrays) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    found = {key: _stable(item, archive, arrays) for key, item in cast("dict[str, Any]", node).items() if key not in _UNSTABLE}
    if "__loader__" in found and isinstance(file := found.get("file"), str):
        content = _without_padding(archive.read(file)) if file.endswith(".npy") else archive.read(file)
        found["file"] = f"{sha256(content)}.npy"
        arrays[found["file"]] = content
    return found


def _without_padding(content: bytes) -> bytes:
    """An array whose unused bytes, which hold whatever was in memory, are zero."""
    import numpy as np

    array = read_array(content)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    return array_bytes(clean)


def _looked_through(schema: Any) -> None:
    """Refuse a schema with a kind of node or a package that no estimator of ours needs."""
    if not isinstance(schema, dict) or cast("dict[str, Any]", schema).get("protocol") != PROTOCOL:
        raise Refusal(f"it is not of skops protocol {PROTOCOL}")
    for node in _nodes(schema):
        name = f"{node.get('__module__')}.{node.get('__class__')}"
        if node.get("__loader__") not in NODES or (name not in PLAIN and name.split(".", maxsplit=1)[0] not in PACKAGES):
            raise Refusal(f"it holds {name} as {node.get('__loader__')}, which is not trusted")


def _nodes(part: Any) -> Iterator[dict[str, Any]]:
    """Every node of a schema: whatever says that it is of a class or how it is loaded."""
    if isinstance(part, list):
        for item in cast("list[Any]", part):
            yield from _nodes(item)
    elif isinstance(part, dict):
        if part.keys() & {"__loader__", "__class__", "__module__"}:
            yield cast("dict[str, Any]", part)
        for item in cast("dict[str, Any]", part).values():
            yield from _nodes(item)
