"""Reads the experiments file again when it changes, and puts its plan in force on whatever is served."""

import threading
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from server.config import Settings
from server.errors import ExperimentsError
from server.experiments.assignment import Experiments
from server.experiments.metrics import ExperimentMetrics
from server.experiments.opening import read_plan
from server.experiments.plan import Plan
from server.file_state import FileState, identify

LOOK_INTERVAL_S: Final = 1.0
"""How long a change of the file may go unseen."""

_log = structlog.get_logger("server")


class Served(Protocol):
    """What is served together; `experiments` draws each user's place in it."""

    experiments: Experiments | None


class PlanWatch:
    """Looks at the file in a thread of its own. A file that cannot be used leaves the plan as it is."""

    def __init__(
        self,
        settings: Settings,
        find_served: Callable[[], Served],
        tell: Callable[[Plan], None],
        metrics: ExperimentMetrics | None,
    ) -> None:
        """Counts the answers of the plan in force; `start` looks for changes.

        Args:
            settings: of the server; `experiments` names the file.
            find_served: returns what is served now; it may be replaced as a whole at any time.
            tell: told of every plan that comes into force.
            metrics: counts answers and changes; None where nobody reads the count.
        """
        assert settings.experiments is not None, "a watch needs a file"
        self._settings = settings
        self._path = settings.experiments
        self._find_served = find_served
        self._tell = tell
        self._metrics = metrics
        # What the last look found to be in order; nothing yet, since the file may have changed meanwhile.
        self._seen: tuple[FileState | None, Served] | None = None
        self._refused: tuple[FileState | None, Served] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="experiments", daemon=True)
        if metrics is not None and (experiments := find_served().experiments) is not None:
            metrics.follow(experiments.plan)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._thread.join()

    def look(self) -> None:
        """Reads the file if it has changed, or if something else is served than at the last look."""
        found = identify(self._path), self._find_served()
        if found == self._seen:
            return
        served = found[1]
        before = served.experiments
        assert before is not None, "a server with a file has a plan"
        try:
            plan = read_plan(self._settings)
            followed = before.follow(plan)
        except ExperimentsError as error:
            # It is tried again, since the disk may have refused it for a moment, and said once.
            if found != self._refused:
                _log.error("experiments unchanged", problem=str(error))
                self._count(taken=False)
            # What was in order is not remembered: it would keep a bundle that is served no longer.
            self._seen, self._refused = None, found
            return
        if plan != before.plan:
            if self._metrics is not None:
                self._metrics.follow(plan)
            self._tell(plan)
            served.experiments = followed
            _log.info("experiments read", names=[each.name for each in plan.experiments])
        if plan != before.plan or self._refused is not None:
            self._count(taken=True)
        self._seen, self._refused = found, None

    def _count(self, *, taken: bool) -> None:
        if self._metrics is not None:
            self._metrics.count_file(taken=taken)

    def _loop(self) -> None:
        while not self._closed.wait(LOOK_INTERVAL_S):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - without this thread no later file would be read.
                _log.error("experiments not read", exc_info=error)
