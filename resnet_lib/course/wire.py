"""Values between the room and the judge: frames of JSON and raw numbers.

Nothing is pickled, in either direction, and the judge believes nothing that a frame says: sizes, types and depth are
checked."""

from collections.abc import Callable, Sequence
from typing import BinaryIO
import json
import math
import struct

import numpy as np
import torch

MOST_HEAD, MOST_DATA, MOST_DEPTH = 4 << 20, 64 << 20, 20  # bytes, bytes, nested lists
DTYPES = {str(d).removeprefix("torch."): d for d in (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.complex64, torch.complex128)}


class WireError(ValueError):
    """A frame that breaks the rules; whoever sent it is not to be trusted any more."""


class CannotCross(TypeError):
    """A value of a kind that stays on its side."""


def send(stream: BinaryIO, message: dict, blobs: Sequence[bytes] = ()) -> None:
    """Write one frame: four bytes with the length of the JSON, the JSON, the blobs."""
    head = json.dumps({**message, "sizes": [len(blob) for blob in blobs]}).encode()
    if len(head) > MOST_HEAD or sum(map(len, blobs)) > MOST_DATA:
        raise WireError("more data than a frame holds")
    stream.write(struct.pack("<I", len(head)) + head + b"".join(blobs))
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict, list[bytes]]:
    """Read one frame; EOFError where the other side has gone, WireError for anything that is no frame."""
    length = struct.unpack("<I", _exactly(stream, 4))[0]
    if length > MOST_HEAD:
        raise WireError("more data than a frame holds")
    try:
        head = json.loads(_exactly(stream, length))
        sizes = head["sizes"]
        if not all(type(size) is int and size >= 0 for size in sizes) or sum(sizes) > MOST_DATA:
            raise WireError("more data than a frame holds")
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise WireError(f"no frame: {type(error).__name__}") from error
    return head, [_exactly(stream, size) for size in sizes]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError("the other side has gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def pack(value: object, blobs: list[bytes], keep: Callable[[object], dict], depth: int = 0) -> dict:
    """A value as JSON, its numbers appended to ``blobs``. ``keep`` makes a reference of what is none of the kinds that
    travel: None, numbers, text, tensors, arrays, lists, tuples and dicts of these. A subclass of a list, say, travels
    as a list."""
    if depth > MOST_DEPTH:
        raise CannotCross("lists that are nested too deeply")
    if value is ...:
        return {"k": "ellipsis"}
    if isinstance(value, np.generic):
        return {"k": "scalar", "v": pack(np.asarray(value), blobs, keep)}
    if value is None or isinstance(value, bool | int | float | str):
        if isinstance(value, int) and value.bit_length() > 1000:
            raise CannotCross("an integer of more than a thousand bits")
        return {"k": "plain", "v": value[:100_000] if isinstance(value, str) else value}
    if isinstance(value, complex):
        return {"k": "complex", "v": [value.real, value.imag]}
    if (isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
            or type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout == torch.strided):
        return _pack_numbers(value, blobs)
    if isinstance(value, list | tuple):  # a torch.Size and a named tuple travel as what they are made of
        return {"k": "list" if isinstance(value, list) else "tuple",
                "v": [pack(part, blobs, keep, depth + 1) for part in value]}
    if isinstance(value, dict):
        return {"k": "dict", "v": [[pack(part, blobs, keep, depth + 1) for part in pair] for pair in value.items()]}
    return keep(value)


def _pack_numbers(value: torch.Tensor | np.ndarray, blobs: list[bytes]) -> dict:
    if isinstance(value, torch.Tensor) and value.is_meta:
        return {"k": "meta", "shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    tensor = torch.as_tensor(value).detach().resolve_conj().resolve_neg().cpu().contiguous()
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise CannotCross(f"a tensor of {name}")
    blobs.append(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return {"k": "array" if isinstance(value, np.ndarray) else "tensor", "dtype": name, "shape": list(tensor.shape),
            "blob": len(blobs) - 1}


def unpack(packed: dict, blobs: list[bytes | None], made: Callable[[dict], object], depth: int = 0) -> object:
    """The value again; ``made`` gets the references. WireError for what `pack` does not write. Each of ``blobs`` is
    used up, or a short frame could ask for copies without end."""
    try:
        return _unpack(packed, blobs, made, depth)
    except WireError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, RuntimeError, OverflowError, MemoryError) as error:
        raise WireError(f"no value: {type(error).__name__}") from error


def _unpack(packed, blobs, made, depth):
    if depth > MOST_DEPTH:
        raise WireError("lists that are nested too deeply")
    kind = packed["k"]
    if kind == "ellipsis":
        return ...
    if kind == "plain" and (packed["v"] is None or type(packed["v"]) in (bool, int, float, str)):
        return packed["v"]
    if kind == "complex":
        return complex(*map(float, packed["v"]))
    if kind == "scalar":
        return _numbers(packed["v"], blobs).numpy()[()]
    if kind in ("list", "tuple"):
        parts = [_unpack(part, blobs, made, depth + 1) for part in packed["v"]]
        return parts if kind == "list" else tuple(parts)
    if kind == "dict":
        return {_unpack(k, blobs, made, depth + 1): _unpack(v, blobs, made, depth + 1) for k, v in packed["v"]}
    if kind == "meta":
        return torch.empty([int(n) for n in packed["shape"]], dtype=DTYPES[packed["dtype"]], device="meta")
    if kind in ("tensor", "array"):
        tensor = _numbers(packed, blobs)
        return tensor.numpy() if kind == "array" else tensor
    if kind == "far":
        return made(packed)
    raise WireError(f"no value of kind {str(kind)[:20]!r}")


def _numbers(packed: dict, blobs: list[bytes | None]) -> torch.Tensor:
    shape, dtype, place = [int(n) for n in packed["shape"]], DTYPES[packed["dtype"]], int(packed["blob"])
    raw, blobs[place] = blobs[place], None
    if min(shape, default=0) < 0 or len(shape) > 20:
        raise WireError("no shape")
    if raw is None or math.prod(shape) * dtype.itemsize != len(raw):
        raise WireError("a shape that its numbers do not fill")
    return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape) if raw else torch.empty(shape, dtype=dtype)
