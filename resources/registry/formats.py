"""The formats that a part of a release may have, in one table: what is not in it is neither written nor read. No pickle, in or out.

A file is what its name says it is and nothing else: it must begin as its format does before a library sees it, and no library is asked
to guess. The bytes are verified before they come here; this is what keeps a signed file from doing more than being a model.
"""

import importlib
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from resources.errors import PlatformError
from resources.registry.identity import NotPlain, canonical

NAME: Final = re.compile(r"(?!manifest$|record$|signature$)[A-Za-z][A-Za-z0-9_]{0,63}")
LONGEST: Final = 300
_NUM_THREADS: Final = re.compile(r"^\[num_threads: -?\d+\]$", re.MULTILINE)
_EXTERNAL: Final = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
"""How the protobuf of an ONNX model begins to name a file outside of it, in any spelling that a parser takes."""


class UnsafePart(PlatformError):
    """A part for which there is no safe format."""

    def __init__(self, *, model: str, part: str, why: str) -> None:
        super().__init__(
            f"{model}: part {part!r} cannot be stored: {why}. Nothing was written. Return from fit only LightGBM or XGBoost "
            "boosters, scikit-learn estimators, ONNX models, numeric numpy arrays and plain JSON values, under names of letters, digits "
            "and underscores."
        )


class FormatRefused(PlatformError):
    """A file of a release that is not what an allowed name says it is."""

    def __init__(self, *, model: str, file: str, why: str) -> None:
        super().__init__(
            f"{model}: {file[:80]!r} was not loaded: {why}. Nothing in it was run. If the model is yours, materialize its month again: "
            f"parts are kept as {', '.join(one.suffix for one in FORMATS)}; otherwise revoke the version and find out who released it."
        )


class LibraryMissing(PlatformError):
    """A part whose library is not installed here."""

    def __init__(self, *, model: str, file: str, library: str) -> None:
        super().__init__(
            f"{model}: {file} needs {library}, which is not installed here, so it was not loaded. "
            f"Install it where it trains and where it serves: uv pip install --constraints requirements.lock {library}."
        )


class Refusal(ValueError):
    """Why bytes are not what they should be; said within this package."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format: the suffix of its files, the types that it holds, and its way out and in."""

    suffix: str
    holds: str
    library: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def encoded(model: str, name: str, value: Any) -> tuple[str, bytes]:
    """File name and bytes of a part; the format follows from the type."""
    if not NAME.fullmatch(name):
        raise UnsafePart(model=model, part=name, why="its name is not allowed")
    kind = cast("type[object]", type(value))
    called = f"{kind.__module__.split('.')[0]}.{kind.__name__}"
    chosen = next(one for one in FORMATS if fnmatchcase(called, one.holds))
    try:
        return name + chosen.suffix, chosen.encode(value)
    except (Refusal, NotPlain) as problem:
        raise UnsafePart(model=model, part=name, why=str(problem).split(", so ", maxsplit=1)[0]) from problem


def decoded(model: str, file: str, content: bytes) -> Any:
    """A part from bytes that have been verified."""
    name, dot, rest = file.partition(".")
    chosen = next((one for one in FORMATS if one.suffix == dot + rest), None)
    if chosen is None or not NAME.fullmatch(name):
        raise FormatRefused(model=model, file=file, why="no part of a release has such a name")
    try:
        return chosen.decode(content)
    except ModuleNotFoundError as problem:
        raise LibraryMissing(model=model, file=file, library=chosen.library) from problem
    except Refusal as problem:
        raise FormatRefused(model=model, file=file, why=f"it is no {chosen.suffix} of ours: {problem}") from problem
    except Exception as problem:
        said = str(problem).partition("\nStack trace")[0].strip()  # XGBoost tells where it was built
        why = f"it cannot be read as {chosen.suffix} ({type(problem).__name__}: {said[:LONGEST]})"
        raise FormatRefused(model=model, file=file, why=why) from problem


def as_loaded(model: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts as whoever loads them will have them: an ONNX model, for one, comes back as a session that runs it."""
    return {name: decoded(model, *encoded(model, name, value)) for name, value in parts.items()}


def begins(content: bytes, *starts: bytes) -> None:
    """Refuse what does not begin as its format does."""
    if not content.startswith(starts):
        raise Refusal(f"it begins with {content[:8]!r}")


def _lightgbm(booster: Any) -> bytes:
    return _NUM_THREADS.sub("[num_threads: 0]", booster.model_to_string()).encode()  # equal trees, equal bytes


def _read_lightgbm(content: bytes) -> Any:
    begins(content, b"tree\n")
    import lightgbm

    return lightgbm.Booster(model_str=content.decode())


def _read_xgboost(content: bytes) -> Any:
    begins(content, b"{L")  # what begins in another way would be read as JSON or as the format before ubj
    booster: Any = importlib.import_module("xgboost").Booster()  # not typed: by its name pyright would follow it
    booster.load_model(bytearray(content))
    return booster


def _onnx(graph: Any) -> bytes:
    return _self_contained(graph.SerializeToString(deterministic=True))


def _read_onnx(content: bytes) -> Any:
    begins(content, b"\x08")  # an ir_version; what begins in another way would be tried as onnxruntime's own format, which nothing checks
    whole = _self_contained(content)
    session: Any = importlib.import_module("onnxruntime").InferenceSession  # as xgboost
    return session(whole, providers=["CPUExecutionProvider"])


def _self_contained(content: bytes) -> bytes:
    if _EXTERNAL.search(content):
        raise Refusal("it names a `location`, by which ONNX reads files outside of the model; keep its data inside")
    return content


def array_bytes(array: Any) -> bytes:
    """An array in numpy's own format."""
    import numpy as np

    if array.dtype.hasobject:
        raise Refusal(f"an array of {array.dtype} can hold anything, also code")
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, order="C"), allow_pickle=False)
    read_array(buffer.getvalue())
    return buffer.getvalue()


def read_array(content: bytes) -> Any:
    """An array from numpy's own format, whose header must say neither more nor less than what follows it."""
    begins(content, b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00")
    from numpy.lib import format as npy

    stream = io.BytesIO(content)
    read_header: Any = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise Refusal(f"its header says {dtype} {shape}, and {len(content) - stream.tell()} bytes follow")
    stream.seek(0)
    return npy.read_array(stream, allow_pickle=False)


def _estimator(value: Any) -> bytes:
    from resources.registry.estimators import estimator_bytes

    return estimator_bytes(value)


def _read_estimator(content: bytes) -> Any:
    begins(content, b"PK\x03\x04")
    from resources.registry.estimators import read_estimator

    return read_estimator(content)


FORMATS: Final = (
    Format(suffix=".lgb.txt", holds="lightgbm.Booster", library="lightgbm", encode=_lightgbm, decode=_read_lightgbm),
    Format(suffix=".ubj", holds="xgboost.Booster", library="xgboost", encode=lambda one: bytes(one.save_raw("ubj")), decode=_read_xgboost),
    Format(suffix=".onnx", holds="onnx.ModelProto", library="onnxruntime", encode=_onnx, decode=_read_onnx),
    Format(suffix=".npy", holds="numpy.ndarray", library="numpy", encode=array_bytes, decode=read_array),
    Format(suffix=".skops", holds="sklearn.*", library="skops", encode=_estimator, decode=_read_estimator),
    Format(suffix=".json", holds="*", library="", encode=canonical, decode=json.loads),
)
"""Every format there is. The first that holds a type is the one that it is kept in."""
