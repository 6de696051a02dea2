"""Settings of the simulated platform; they fix every byte that it writes."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from index.item_embedding import WIDTH_MAX
from training.errors import SettingError

COUNT_LIMITS: Final = {"users": 1_000_000, "courses": 100_000, "products": 100_000}


@dataclass(frozen=True)
class SimulationSettings:
    """What to simulate.

    The number of interactions follows the number of users: 25 per user in the median, 36 in the mean,
    so that 30 users make 10^3 and 250,000 users make 10^7.

    Attributes:
        clock: the platform's present, midnight UTC of a day; nothing happens after it.
        seed: the same seed, sizes and clock give the same bytes.
        users: number of users, 1 or more.
        courses: number of courses, 1 or more.
        products: number of financial and insurance products, 0 or more.
        taste_correlation: correlation of a user's taste for courses and for financial products, -1 to 1.
        taste_drift: share of a taste that is renewed each quarter, 0 to 1.
        embedding_width: how many numbers each product's embedding has; 0 writes none.
        embedding_noise: how strong the noise in an embedding is, relative to what it tells, 0 to 100.
    """

    clock: datetime
    seed: int = 1
    users: int = 20_000
    courses: int = 2_000
    products: int = 600
    taste_correlation: float = 0.7
    taste_drift: float = 0.25
    embedding_width: int = 0
    embedding_noise: float = 0.5

    def __post_init__(self) -> None:
        """Refuses settings out of range.

        Raises:
            SettingError: names the setting, its range and the value.
        """
        for name, low in (("users", 1), ("courses", 1), ("products", 0)):
            value = getattr(self, name)
            if not low <= value <= COUNT_LIMITS[name]:
                raise SettingError(f"{name}: expected {low} to {COUNT_LIMITS[name]}, got {value}")
        if self.seed < 0:
            raise SettingError(f"seed: expected 0 or more, got {self.seed}")
        if not -1.0 <= self.taste_correlation <= 1.0:
            raise SettingError(f"taste_correlation: expected -1 to 1, got {self.taste_correlation}")
        if not 0.0 <= self.taste_drift <= 1.0:
            raise SettingError(f"taste_drift: expected 0 to 1, got {self.taste_drift}")
        if not 0 <= self.embedding_width <= WIDTH_MAX:
            raise SettingError(f"embedding_width: expected 0 to {WIDTH_MAX}, got {self.embedding_width}")
        if not 0.0 <= self.embedding_noise <= 100.0:
            raise SettingError(f"embedding_noise: expected 0 to 100, got {self.embedding_noise}")
        if self.clock.tzinfo is None:
            raise SettingError(f"clock: expected an instant with a zone, got {self.clock.isoformat()}")

    @property
    def now(self) -> datetime:
        """The clock in UTC."""
        return self.clock.astimezone(UTC)
