"""The host launcher against a fake runtime: each failure has its code and message, and nothing is launched after it."""

import ctypes
import subprocess
from pathlib import Path

import pytest

from ptoc.codegen import emit
from ptoc.codegen.cpu_check import compiler
from ptoc.machine.chip import load_chip

from .test_emit import PIPE
from .texts import VADD, parse

STUB = Path(__file__).with_name("stub")
FAKE = """
#include <cstdint>
extern "C" { int launches = 0; uint32_t launched_blocks = 0; int ffts_code = 0; uint64_t ffts_address = 64; int stream_code = 0; }
extern "C" int rtGetC2cCtrlAddr(uint64_t* address, uint32_t* bytes) { *address = ffts_address; *bytes = 8; return ffts_code; }
extern "C" int aclrtSynchronizeStream(void*) { return stream_code; }
#define PTOC_LAUNCH(kernel, blocks, stream, ...) (launches += 1, launched_blocks = blocks, kernel(__VA_ARGS__))
#include "k_caller.cpp"
"""


class Launcher:
    """A launcher compiled for this host, with the fake runtime's switches."""

    def __init__(self, text: str, folder: Path) -> None:
        for name, content in emit(parse(text), load_chip("ascend910b1"), "k").items():
            (folder / name).write_text(content)
        (folder / "fake.cpp").write_text(FAKE)
        command = [
            compiler() or "g++",
            "-std=c++17",
            "-w",
            "-shared",
            "-fPIC",
            f"-I{STUB}",
            str(folder / "fake.cpp"),
            "-o",
            str(folder / "fake.so"),
        ]
        subprocess.run(command, check=True)
        self.library = ctypes.CDLL(str(folder / "fake.so"))

    def set(self, name: str, value: int) -> None:
        """Sets a switch of the fake runtime."""
        kind = ctypes.c_uint64 if name == "ffts_address" else ctypes.c_int
        kind.in_dll(self.library, name).value = value

    @property
    def launches(self) -> int:
        """Kernels started so far."""
        return ctypes.c_int.in_dll(self.library, "launches").value

    def call(self, function: str, *arguments: object) -> tuple[int, str]:
        """Code and message of a call."""
        message = ctypes.create_string_buffer(200)
        code = getattr(self.library, function)(*arguments, message, ctypes.c_uint64(200))
        return code, message.value.decode()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    return Launcher(VADD, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def piped(tmp_path: Path) -> Launcher:
    return Launcher(PIPE.format(period=""), tmp_path)


def pointers(*values: int) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(value) for value in values]


def test_a_good_launch_returns_zero(plain: Launcher) -> None:
    before = plain.launches
    assert plain.call("launch_vadd", ctypes.c_uint32(3), None, *pointers(8, 8, 8), ctypes.c_int32(0)) == (0, "")
    assert plain.launches == before + 1
    assert ctypes.c_uint32.in_dll(plain.library, "launched_blocks").value == 3


@pytest.mark.parametrize(
    ("blocks", "arguments", "expected"),
    [
        (0, (8, 8, 8), (1, "k: at least one block is needed (0)")),
        (1, (8, 0, 8), (2, "k: argument 'b' is null (2)")),
    ],
)
def test_bad_arguments_are_named(plain: Launcher, blocks: int, arguments: tuple[int, ...], expected: tuple[int, str]) -> None:
    before = plain.launches
    assert plain.call("launch_vadd", ctypes.c_uint32(blocks), None, *pointers(*arguments), ctypes.c_int32(0)) == expected
    assert plain.launches == before


@pytest.mark.parametrize(
    ("switch", "value", "expected"),
    [
        ("ffts_code", 507000, (3, "k: rtGetC2cCtrlAddr failed (507000)")),
        ("ffts_address", 0, (3, "k: rtGetC2cCtrlAddr gave a null address (8)")),
    ],
)
def test_a_missing_control_address_stops_the_launch(piped: Launcher, switch: str, value: int, expected: tuple[int, str]) -> None:
    piped.set(switch, value)
    assert piped.call("launch_f", ctypes.c_uint32(1), None, *pointers(8, 8)) == expected
    assert piped.launches == 0


def test_a_stream_error_is_reported(plain: Launcher) -> None:
    plain.set("stream_code", 507015)
    assert plain.call("wait_for_stream", None) == (4, "k: aclrtSynchronizeStream reports an error (507015)")
    plain.set("stream_code", 0)
    assert plain.call("wait_for_stream", None) == (0, "")


def test_a_call_without_a_place_for_the_message_is_safe(plain: Launcher) -> None:
    assert plain.library.launch_vadd(ctypes.c_uint32(0), None, None, None, None, ctypes.c_int32(0), None, ctypes.c_uint64(0)) == 1
