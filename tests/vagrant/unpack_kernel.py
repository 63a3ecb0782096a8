"""Unpack the kernel of a bzImage: the ELF file that Debian packs in it with LZ4.

usage: unpack_kernel.py BZIMAGE VMLINUX
Where the payload lies: https://docs.kernel.org/arch/x86/boot.html (setup_sects, payload_offset, payload_length). Its last four
bytes are the size of what is in it.
"""

from __future__ import annotations

import pathlib
import struct
import subprocess
import sys

_SETUP_SECTORS, _PAYLOAD = 0x1F1, 0x248
_LZ4, _ELF = b"\x02\x21\x4c\x18", b"\x7fELF"


def payload_of(image: bytes) -> bytes:
    """The packed kernel of a bzImage. ValueError where it is packed with anything but LZ4."""
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = (image[_SETUP_SECTORS] + 1) * 512 + offset
    payload = image[start : start + length - 4]
    if not payload.startswith(_LZ4):
        raise ValueError(f"got a payload that begins with {payload[:4].hex()}; expected LZ4 ({_LZ4.hex()})")
    return payload


def main(image: str, kernel: str) -> None:
    done = subprocess.run(
        ["lz4", "-dc"], input=payload_of(pathlib.Path(image).read_bytes()), stdout=subprocess.PIPE, check=True
    )
    if not done.stdout.startswith(_ELF):
        raise ValueError(f"got {done.stdout[:4].hex()} in {image}; expected an ELF file")
    pathlib.Path(kernel).write_bytes(done.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
