"""The command as a process of its own, but without a shipper, whose imports take seconds of a core.

`Place.start_unshipped` runs this module, for tests that are not about MLflow.
"""

from gradstab.cli import main
from gradstab.session import drive
from tests.fakes import NoTracker

if __name__ == "__main__":
    vars(drive)["start_tracker"] = lambda *_: NoTracker()
    main()
