"""What a C program does with a saved model: TensorFlow's C API, bound by its names, and no TensorFlow of Python.

    LD_PRELOAD=_scann_ops.so LD_LIBRARY_PATH=TENSORFLOW python -S c_program.py VERSION INPUT QUERY OUTPUT... > JSON

The inputs and outputs are tensors' names, the first output of strings, the others of float32.
"""

from __future__ import annotations

import ctypes
import json
import sys

FLOAT, STRING = 1, 7  # TF_DataType
TEXT = 24  # bytes of a TF_TString


class Output(ctypes.Structure):
    """TF_Output: a tensor of the graph."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Library:
    """The C API: functions return pointers unless said otherwise, and a status that is not OK ends the program."""

    def __init__(self) -> None:
        self._functions = ctypes.CDLL("libtensorflow_cc.so.2")
        self.status = self.call("TF_NewStatus")

    def call(self, name: str, *arguments: object, result: type = ctypes.c_void_p):  # type: ignore[no-untyped-def]
        """Calls a function; whole numbers go as 64 bits, as pointers and sizes do."""
        function = getattr(self._functions, name)
        function.restype = result
        return function(*(ctypes.c_int64(one) if isinstance(one, int) else one for one in arguments))

    def checked(self, name: str, *arguments: object):  # type: ignore[no-untyped-def]
        """Calls a function whose last argument is the status."""
        found = self.call(name, *arguments, self.status)
        if self.call("TF_GetCode", self.status, result=ctypes.c_int):
            sys.exit(self.call("TF_Message", self.status, result=ctypes.c_char_p).decode())
        return found

    def tensor(self, graph: int, name: str) -> Output:
        """A tensor of the graph."""
        operation, _, index = name.partition(":")
        found = self.call("TF_GraphOperationByName", graph, operation.encode())
        return Output(found, int(index)) if found else sys.exit(f"the graph has no {name}")

    def texts(self, values: list[bytes]) -> int:
        """A string tensor."""
        shape = (ctypes.c_int64 * 1)(len(values))
        made = self.call("TF_AllocateTensor", STRING, shape, 1, TEXT * len(values))
        at = self.call("TF_TensorData", made)
        for place, value in enumerate(values):
            self.call("TF_StringInit", at + TEXT * place)
            self.call("TF_StringCopy", at + TEXT * place, value, len(value))
        return made

    def values(self, tensor: int) -> list[str] | list[float]:
        """The values of a tensor of strings or floats, flat."""
        count, at = (
            self.call("TF_TensorElementCount", tensor, result=ctypes.c_int64),
            self.call("TF_TensorData", tensor),
        )
        if self.call("TF_TensorType", tensor, result=ctypes.c_int) == FLOAT:
            return list((ctypes.c_float * count).from_address(at))
        return [self._text(at + TEXT * place).decode() for place in range(count)]

    def _text(self, at: int) -> bytes:
        size = self.call("TF_StringGetSize", at, result=ctypes.c_size_t)
        return ctypes.string_at(self.call("TF_StringGetDataPointer", at), size)


def main(version: str, query_name: str, query: str, outputs: list[str]) -> None:
    """Loads the version and prints what it answers."""
    tf = Library()
    graph, options = tf.call("TF_NewGraph"), tf.call("TF_NewSessionOptions")
    tags = (ctypes.c_char_p * 1)(b"serve")
    session = tf.checked("TF_LoadSessionFromSavedModel", options, None, version.encode(), tags, 1, graph, None)
    feeds, fed = (Output * 1)(tf.tensor(graph, query_name)), (ctypes.c_void_p * 1)(tf.texts([query.encode()]))
    fetches = (Output * len(outputs))(*(tf.tensor(graph, name) for name in outputs))
    found = (ctypes.c_void_p * len(outputs))()
    tf.checked("TF_SessionRun", session, None, feeds, fed, 1, fetches, found, len(outputs), None, 0, None)
    json.dump([tf.values(one) for one in found], sys.stdout)


if __name__ == "__main__":
    assert "tensorflow" not in sys.modules
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
