"""Whether a process was busy of late, by clocks that stand still between the steps."""

import time

from server.processor_share import BUSY_SHARE, WINDOW_S, ProcessorShare


class Process:
    """A process, and the clock beside it."""

    now_s = 100.0
    used_s = 7.0

    def __init__(self) -> None:
        self.share = ProcessorShare(lambda: self.now_s, lambda: self.used_s)

    def pass_s(self, elapsed_s: float, share: float) -> bool:
        self.now_s += elapsed_s
        self.used_s += share * elapsed_s
        return self.share.is_busy()


def test_a_process_is_busy_when_it_used_most_of_a_processor_and_idle_again_later() -> None:
    process = Process()
    assert not process.share.is_busy()
    assert process.pass_s(WINDOW_S * 1.01, BUSY_SHARE + 0.01)
    assert not process.pass_s(WINDOW_S * 1.01, BUSY_SHARE - 0.01)


def test_a_moment_of_work_is_no_window() -> None:
    process = Process()
    assert not process.pass_s(WINDOW_S / 2, 2.0)
    assert process.pass_s(WINDOW_S, 2.0)


def test_it_is_the_process_itself_that_is_measured() -> None:
    share = ProcessorShare(clock=time.process_time)
    while not share.is_busy():
        pass
