"""When a process that ended is started again."""

from server.processes.restarts import DELAY_S_MAX, FIRST_DELAY_S, STEADY_S, Restarts


def test_a_process_that_keeps_ending_is_started_ever_later() -> None:
    now_s = 100.0
    restarts = Restarts(lambda: now_s)
    delays = [restarts.ended() - now_s for _ in range(9)]
    assert delays[:3] == [FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S]
    assert delays[-2:] == [DELAY_S_MAX, DELAY_S_MAX]
    restarts.became_ready()
    assert restarts.ended() - now_s == DELAY_S_MAX
    restarts.became_ready()
    now_s += STEADY_S
    assert restarts.ended() - now_s == FIRST_DELAY_S
    assert restarts.count == 11
