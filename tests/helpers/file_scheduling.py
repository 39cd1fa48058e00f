"""Which process runs which test files, so that a run ends though a process dies.

pytest-xdist 3.8.0 waits for ever then, or runs again what killed it: its issues 1323, 1327 and
1378, and pull request 1371.
"""

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController


class FileScheduling(LoadFileScheduling):
    """A process runs whole files, and those after it what is left of one that died."""

    def remove_node(self, node: WorkerController) -> str | None:
        """The test in which a process died, or None if it has finished."""
        files = self.assigned_work.pop(node)
        left = [(file, test) for file, tests in files.items() for test in tests if not tests[test]]
        if not left:
            return None
        for file, test in left[1:]:
            self.workqueue.setdefault(file, {})[test] = False
        for other in self.nodes:
            self._reschedule(other)
        return left[0][1]

    def _reschedule(self, node: WorkerController) -> None:
        """Give a process two tests at least, as it runs one when it knows the next."""
        try:
            while self._needs_more(node):
                self._assign_work_unit(node)
            super()._reschedule(node)
        except OSError:
            pass  # it has died, and `remove_node` comes next

    def _needs_more(self, node: WorkerController) -> bool:
        begun = self._pending_of(self.assigned_work[node]) >= 2
        return bool(self.workqueue) and not node.shutting_down and not begun
