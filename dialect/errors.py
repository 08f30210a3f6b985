"""Every error that ptoc raises, in one tree.

    PtocError                     base of all: one paragraph, begins with file:line where there is one
      ParseError                  text or Python that is no kernel
      VerifyError                 a rule of the dialect or of a stage is broken
        CapacityError             a memory overflows (its message carries the memory map)
      NotSupportedError           legal input that this version does not handle, with its line
      ArgumentError               a run's arguments, options or files do not fit the kernel
      ChipError                   a chip file is wrong or a chip unknown
      SimulationError             a run went wrong
        DeadlockError             engines wait for ever
        SyncError                 flags misused: set twice, left set
        BoundsError               global memory touched outside of its tensor
        PoisonError               bytes read that nobody had written
        CheckError                an order is missing (ptoc check, ptoc run --check)
"""


class PtocError(Exception):
    """Base of every error that ptoc raises; `str(error)` is one paragraph for the user."""

    def __init__(self, message: str, location: str = "") -> None:
        super().__init__(f"{location}: {message}" if location else message)
        self.location = location


class ParseError(PtocError):
    """Text or Python that is no kernel."""


class VerifyError(PtocError):
    """A rule of the dialect, or of the stage that the module is at, is broken."""


class CapacityError(VerifyError):
    """A memory overflows; the message carries the memory map."""


class NotSupportedError(PtocError):
    """Legal input that this version does not handle."""


class ArgumentError(PtocError):
    """Arguments, options or files of a run do not fit the kernel."""


class ChipError(PtocError):
    """A chip file is wrong, or no chip has that name."""


class SimulationError(PtocError):
    """A run went wrong."""


class DeadlockError(SimulationError):
    """Engines wait for ever."""


class SyncError(SimulationError):
    """Flags are misused: set while set, or left set at the end."""


class BoundsError(SimulationError):
    """Global memory was touched outside of its tensor."""


class PoisonError(SimulationError):
    """Bytes were read that nobody had written."""


class CheckError(SimulationError):
    """A necessary order is missing."""
