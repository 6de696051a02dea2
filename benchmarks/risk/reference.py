"""The plain logistic regression that others are compared with: standardised numbers, a column a category."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from training.risk.table import Sample


def score_by_plain_logistic(learned: Sample, judged: Sample) -> NDArray[np.float64]:
    """Learns from some borrowers and gives others their probabilities, float64 [judged]."""
    numbers = [field.name for field in learned.fields if field.kind == "number"]
    texts = [field.name for field in learned.fields if field.kind == "category"]
    scaler = StandardScaler().fit(_stack(learned, numbers, np.float64))
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(_stack(learned, texts, np.str_))

    def prepare(sample: Sample) -> NDArray[np.float64]:
        parts = [scaler.transform(_stack(sample, numbers, np.float64))]
        parts.append(encoder.transform(_stack(sample, texts, np.str_)))
        return np.concatenate(parts, axis=1)

    model = LogisticRegression(max_iter=2000).fit(prepare(learned), learned.defaulted)
    probability: NDArray[np.float64] = model.predict_proba(prepare(judged))[:, 1]
    return probability


def _stack(sample: Sample, names: list[str], kind: type) -> NDArray[np.generic]:
    return np.array([sample.columns[name] for name in names], kind).T.reshape(len(sample.defaulted), -1)
