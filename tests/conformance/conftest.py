"""The lab's fixtures."""

from lab.conftest import lab

__all__ = ["lab"]
