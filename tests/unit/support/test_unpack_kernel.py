"""The kernel of the machines of `make vagrant`, taken out of its wrapper."""

from __future__ import annotations

import importlib.util
import pathlib
import struct

import pytest

PATH = pathlib.Path(__file__).parents[2] / "vagrant" / "unpack_kernel.py"


@pytest.fixture(name="unpack", scope="module")
def fixture_unpack():
    spec = importlib.util.spec_from_file_location("unpack_kernel", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def image(payload, sectors=3, offset=100):
    """A bzImage as far as its header says where the payload lies; four bytes of its length are the size of the kernel."""
    head = bytearray((sectors + 1) * 512 + offset)
    head[0x1F1] = sectors
    struct.pack_into("<II", head, 0x248, offset, len(payload) + 4)
    return bytes(head) + payload + b"size" + b"what follows"


def test_the_payload_is_what_the_header_says_without_the_size_behind_it(unpack):
    payload = b"\x02\x21\x4c\x18packed"
    assert unpack.payload_of(image(payload)) == payload


@pytest.mark.parametrize("other", [b"\x28\xb5\x2f\xfdzstd", b"\x1f\x8bgzip", b""])
def test_a_kernel_that_is_packed_otherwise_is_said_so(unpack, other):
    with pytest.raises(ValueError, match="expected LZ4"):
        unpack.payload_of(image(other))
