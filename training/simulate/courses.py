"""The simulated courses: bilingual titles and texts, topics, prices, sale windows."""

from typing import Any

import numpy as np

from training.simulate.gaps import choose, days_from, with_gaps
from training.simulate.settings import SimulationSettings
from training.simulate.tastes import Latents
from training.simulate.words import COURSE_TEXTS, COURSE_TITLES, SCHOOLS, TOPICS


def draw_courses(settings: SimulationSettings, latents: Latents, rng: np.random.Generator) -> dict[str, Any]:
    """Returns the columns of the courses; about 3 in 100 are not on sale and 2 in 100 past their window.

    Courses are outside the financial gate: they carry no registration, licence, level or risk score.
    """
    count = settings.courses
    titles, titles_zh, texts = _titles(latents, rng)
    closed = rng.random(count) < 0.02
    return {
        "id": [f"C{row:05d}" for row in range(count)],
        "title": titles,
        "title_alternate": titles_zh,
        "description": texts,
        "category": [TOPICS[topic].name for topic in latents.course_topics],
        "tags": [list(TOPICS[topic].tags) for topic in latents.course_topics],
        "price_minor": choose([0, 990, 1990, 4990, 9990, 19990, 49990], [2, 2, 3, 4, 4, 2, 1], count, rng),
        "issuer": choose(SCHOOLS, [1.0] * len(SCHOOLS), count, rng),
        "family": ["COURSE"] * count,
        "status": with_gaps(choose(["ON_SALE", "SUSPENDED"], [97, 3], count, rng), 0.005, rng),
        "sale_start": days_from(settings.now, -rng.integers(400, 1500, count)),
        "sale_end": days_from(
            settings.now, np.where(closed, -rng.integers(1, 90, count), rng.integers(200, 2000, count))
        ),
        "channels": [["app", "web"]] * count,
        "offering": ["PUBLIC"] * count,
        "currency": ["CNY"] * count,
    }


def _titles(latents: Latents, rng: np.random.Generator) -> tuple[list[str], list[str], list[str]]:
    titles: list[str] = []
    titles_zh: list[str] = []
    texts: list[str] = []
    seen: dict[str, int] = {}
    for topic_row in latents.course_topics:
        topic = TOPICS[topic_row]
        phrase, phrase_zh = topic.phrases[rng.integers(len(topic.phrases))]
        form, form_zh = COURSE_TITLES[rng.integers(len(COURSE_TITLES))]
        inner = phrase if form.startswith("{") else _lower_first(phrase)
        title, title_zh = form.format(inner), form_zh.format(phrase_zh)
        part = seen[title] = seen.get(title, 0) + 1
        titles.append(title if part == 1 else f"{title}, part {part}")
        titles_zh.append(title_zh if part == 1 else f"{title_zh}（{part}）")
        text = COURSE_TEXTS[rng.integers(len(COURSE_TEXTS))]
        hours = int(rng.integers(2, 40))
        texts.append(text.format(phrase=phrase, phrase_zh=phrase_zh, hours=hours, tags=", ".join(topic.tags)))
    return titles, titles_zh, texts


def _lower_first(phrase: str) -> str:
    """Lowers the first letter inside a sentence, except of an abbreviation such as AI."""
    return phrase if phrase[:2].isupper() else phrase[:1].lower() + phrase[1:]
