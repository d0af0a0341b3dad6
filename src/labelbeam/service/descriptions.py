"""What requests and answers look like, for the service's OpenAPI description; with examples.

The answers themselves are made by `predict.prediction` and `runs.suggestions`; these models describe them, and
tests hold real answers against them.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ScoredLabel(BaseModel):
    """A label with its score, and hard bounds of the score."""

    label: str
    score: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    stderr: float = Field(ge=0, description="Standard error of the score; 0 where nothing was sampled.")


class ListedSet(BaseModel):
    """A label set with its probability."""

    labels: list[str]
    prob: float = Field(ge=0, le=1)


class TaggedImage(BaseModel):
    """One image as `labelbeam tag` says it; with `error` instead of the rest where it could not be read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": "a.jpg",
                    "labels": [{"label": "sheep", "score": 0.93, "low": 0.9, "high": 0.95, "stderr": 0.004}],
                    "decide": "path",
                    "path": ["sheep"],
                    "log_prob": -0.41,
                    "exact": True,
                    "calibrated": True,
                    "fits": 0.62,
                    "vector": "2f6ab9d6c8ed3c1f6e1d3f3a9a6f0b1c",
                },
                {"image": "b.jpg", "error": "the file is empty (0 bytes). Copy it again."},
            ]
        }
    )
    image: str = Field(description="The name that the request gave the file.")
    labels: list[ScoredLabel] | None = Field(None, description="The decided set, best score first.")
    decide: str | None = None
    path: list[str] | None = None
    log_prob: float | None = None
    exact: bool | None = None
    calibrated: bool | None = None
    fits: float | None = None
    refused: bool | None = None
    kept: float | None = Field(None, description="p(the rules are kept | image), where it runs with --rules.")
    promise: str | None = Field(None, description="What is promised of the labels; with `promise`.")
    void: bool | None = Field(None, description="The image is so odd that no promise holds of it.")
    unseen: bool | None = Field(None, description="Whether nobody needs to look at it; with `unseen`.")
    sets: list[ListedSet] | None = Field(None, description="The true set is among these; with `sets_among`.")
    scores: dict[str, float] | None = Field(None, description="Of every label; with `all_scores`.")
    vector: str | None = Field(None, description="Id of the image's features, for `/v1/suggest`.")
    features: str | None = Field(None, description="The features, float16, base64; with `features`.")
    error: str | None = Field(None, description="Why the image could not be read.")


class TagAnswer(BaseModel):
    """Predictions in the order of the images."""

    predictions: list[TaggedImage]


class SuggestQuestion(BaseModel):
    """An image, by exactly one of `vector` and `features`, and what is known of it."""

    model_config = ConfigDict(
        extra="forbid",
        cache_strings="keys",  # vectors are never asked for again in a form that a cache of thousands would find
        json_schema_extra={
            "examples": [
                {"vector": "2f6ab9d6c8ed3c1f6e1d3f3a9a6f0b1c", "known": ["sheep"], "rejected": ["dog"]}
            ]
        },
    )
    vector: str | None = Field(None, max_length=64, description="As `/v1/tag` gave it.")
    features: str | None = Field(None, max_length=1_000_000, description="float16, little-endian, base64.")
    known: list[str] = Field([], max_length=1000, description="Labels that the image has.")
    rejected: list[str] = Field([], max_length=1000, description="Labels that it has not.")
    count: int = Field(10, ge=1, le=1000, description="Most suggestions.")
    mechanism: str | None = Field(None, max_length=100, description="Default: the run's better one.")


class SuggestAnswer(BaseModel):
    """Suggestions, best first; never one of the known or rejected labels."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": "2f6ab9d6c8ed3c1f6e1d3f3a9a6f0b1c",
                    "mechanism": "any-subset",
                    "known": ["sheep"],
                    "rejected": ["dog"],
                    "suggestions": [{"label": "grass", "score": 0.8, "low": 0.8, "high": 0.8, "stderr": 0.0}],
                    "vector": "2f6ab9d6c8ed3c1f6e1d3f3a9a6f0b1c",
                }
            ]
        }
    )
    image: str
    mechanism: str
    known: list[str]
    rejected: list[str]
    suggestions: list[ScoredLabel]
    evidence: float | None = None
    effective_samples: float | None = None
    note: str | None = None
    vector: str | None = None


class LabelRow(BaseModel):
    """A label of the run."""

    label: str
    training_images: int


class LabelsAnswer(BaseModel):
    """The run's labels in label order."""

    labels: list[LabelRow]
    head: str
    features: int = Field(description="Numbers of an image's feature vector.")


class Near(BaseModel):
    """A label near the query."""

    label: str
    similarity: float


class NeighborsAnswer(BaseModel):
    """Nearest first."""

    measure: str
    neighbors: list[Near]


class State(BaseModel):
    """Whether the service lives, or takes work."""

    state: str
    run: str | None = Field(None, description="The run's name, in `/readyz`.")
    fingerprint: str | None = Field(None, description="Changes with anything its answers depend on.")
    version: str | None = Field(None, description="Of labelbeam.")


class Refused(BaseModel):
    """Why there is no answer, and what to do."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": "unknown label 'hrose'."}]})
    error: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refused, "description": text}
    for status, text in {
        401: "The API key is missing or wrong.",
        403: "Asked by another web site, or under a foreign name.",
        404: "There is no such thing (any more).",
        408: "The request did not arrive in time.",
        409: "Something else was changed meanwhile.",
        413: "Too large: bytes, files or fields.",
        415: "Another content type than is understood.",
        422: "The request cannot be understood; `error` says why.",
        429: "More requests than allowed; `Retry-After` says when to come again.",
        503: "Overloaded, or ending; `Retry-After` says when to come again.",
    }.items()
}
"""With what any request may be refused."""
