"""Work that paces itself: pieces with rests between them, each in proportion to the piece before."""

from server.pace import PIECE_S, REST_S_MAX, REST_SHARE, Pace


class Time:
    """A clock that only work and rests move."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.rests: list[float] = []

    def read(self) -> float:
        return self.now_s

    def sleep(self, rest_s: float) -> None:
        self.rests.append(rest_s)
        self.now_s += rest_s


def test_small_pieces_rest_together_and_a_long_one_no_longer_than_the_most() -> None:
    time = Time()
    pace = Pace(time.read, time.sleep)
    for worked_s in (0.6 * PIECE_S, 0.6 * PIECE_S, 0.6 * PIECE_S, 1.0):
        time.now_s += worked_s
        pace.rest()
    assert len(time.rests) == 2
    assert abs(time.rests[0] - REST_SHARE * 1.2 * PIECE_S) < 1e-9
    assert time.rests[1] == REST_S_MAX
