"""The application: routes, and the layers around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ulmfit.apps.serve.access import Guarded
from ulmfit.apps.serve.asgi import App
from ulmfit.apps.serve.assets import Asset, load_assets
from ulmfit.apps.serve.batcher import Batcher
from ulmfit.apps.serve.bodies import Bounded
from ulmfit.apps.serve.classifier import (
    Classifier,
    Explainer,
    Explanation,
    predictions,
    rounded,
)
from ulmfit.apps.serve.explaining import ExplainQueue
from ulmfit.apps.serve.limits import Limits, Refused, require_length, require_within
from ulmfit.apps.serve.messages import (
    ExplainAnswer,
    ExplainRequest,
    Health,
    ModelAnswer,
    PredictAnswer,
    PredictRequest,
    Problem,
    SpanAnswer,
)
from ulmfit.apps.serve.metrics import Metrics
from ulmfit.apps.serve.refusals import handle_refusals
from ulmfit.apps.serve.watching import Watched
from ulmfit.data.tables import whole_characters

if TYPE_CHECKING:
    from fastapi import FastAPI

PATHS = ("/", "/predict", "/explain", "/model", "/health", "/metrics", "/docs", "/openapi.json")
_REFUSALS = (400, 401, 408, 413, 415, 422, 429, 503)


@dataclass(frozen=True)
class Service:
    """What is served, and how.

    Attributes:
        classifier: gives the answers.
        explainer: explains them, if anything does.
        name: of the model, for people.
        metrics: what the model scored.
        min_confidence: abstain below it, unless a request says otherwise.
        token: that clients must show.
        limits: of requests.
        access_log: log a line for each request.
    """

    classifier: Classifier
    explainer: Explainer | None = None
    name: str = "model"
    metrics: Mapping[str, Any] = field(default_factory=dict)
    min_confidence: float | None = None
    token: str | None = None
    limits: Limits = field(default_factory=Limits)
    access_log: bool = False


def make_app(service: Service) -> App:
    """The application of one worker; what it needs is the extra `serve`."""
    counted = Metrics()
    batcher = Batcher(service.classifier.predict_proba, service.limits, counted.batch)
    queue = None
    if service.explainer is not None:
        queue = ExplainQueue(service.explainer, service.limits)
    inner = _framework(batcher, queue)
    _add_answers(inner, service, batcher, queue)
    _add_facts(inner, service, counted)
    _add_pages(inner)
    handle_refusals(inner)
    guarded = Guarded(Bounded(inner, service.limits), service.token)
    return Watched(guarded, counted, PATHS, access_log=service.access_log)


def _framework(batcher: Batcher, queue: ExplainQueue | None) -> FastAPI:
    from fastapi import FastAPI

    from ulmfit import __version__

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        batcher.start()
        yield
        await batcher.stop()
        if queue is not None:
            queue.stop()

    return FastAPI(
        title="ulmfit",
        version=__version__,
        description="A text classifier. Nothing that is sent is stored or logged.",
        docs_url=None,  # those pages load scripts from elsewhere; /docs here is our own
        redoc_url=None,
        lifespan=lifespan,
    )


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the description of the interface."""
    reasons = {
        400: "The body cannot be read.",
        401: "The token is missing or wrong.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
        422: "The request does not say what it must, or is beyond a limit.",
        415: "The body is not sent as JSON.",
        429: "Too busy; `Retry-After` says when to come back.",
        501: "This model cannot be asked that.",
        503: "Told to stop, no time was left; `Retry-After` says when to come back.",
    }
    return {status: {"model": Problem, "description": reasons[status]} for status in statuses}


def _add_answers(
    app: FastAPI, service: Service, batcher: Batcher, queue: ExplainQueue | None
) -> None:
    @app.post("/predict", summary="Label texts", responses=_problems(*_REFUSALS))
    async def predict(request: PredictRequest) -> PredictAnswer:
        """Labels and probabilities of one text or several, in their order."""
        texts = _texts_of(request)
        require_within(texts, service.limits)
        probabilities = await batcher.predict([whole_characters(text) for text in texts])
        given = request.min_confidence
        least = service.min_confidence if given is None else given
        return PredictAnswer(predictions=predictions(service.classifier, probabilities, least))

    @app.post("/explain", summary="Explain a label", responses=_problems(*_REFUSALS, 501))
    async def explain(request: ExplainRequest) -> ExplainAnswer:
        """Which words of a text speak for its label, or for a label you name, and which against."""
        if queue is None:
            raise Refused(501, "this model cannot explain its labels")
        require_length([request.text], service.limits.explain_chars, "explain_chars")
        _require_known(request.label, service.classifier)
        text = whole_characters(request.text)
        found = await queue.explain(text, request.label)
        return _explained(text, found, service.limits)


def _texts_of(request: PredictRequest) -> list[str]:
    if (request.text is None) == (request.texts is None):
        which = "neither `text` nor `texts`" if request.text is None else "`text` and `texts`"
        raise Refused(422, f"the request has {which}", "one of them")
    return [request.text] if request.text is not None else list(request.texts or [])


def _require_known(label: str | None, classifier: Classifier) -> None:
    if label is not None and label not in classifier.labels:
        known = ", ".join(map(repr, list(classifier.labels)[:20]))
        raise Refused(422, "the model does not know the label", f"one of {known}")


def _explained(text: str, found: Explanation, limits: Limits) -> ExplainAnswer:
    unexplained = found.score - found.baseline_score - sum(one.attribution for one in found.spans)
    return ExplainAnswer(
        label=found.label,
        probability=rounded(found.probability),
        score=rounded(found.score),
        baseline_score=rounded(found.baseline_score),
        method=found.method,
        unexplained=rounded(unexplained),
        note=_coarse(unexplained, limits) if found.coarse else None,
        spans=[
            SpanAnswer(
                start=span.start,
                end=span.end,
                text=text[span.start : span.end],
                attribution=rounded(span.attribution),
            )
            for span in found.spans
        ],
    )


def _coarse(unexplained: float, limits: Limits) -> str:
    return (
        f"The shares are approximate: they miss {abs(unexplained):.2g} of the change in score, as "
        f"the time was over ({limits.explain_seconds:g} s, the limit `explain_seconds`)."
    )


def _add_facts(app: FastAPI, service: Service, counted: Metrics) -> None:
    from fastapi.responses import Response

    from ulmfit import __version__

    @app.get("/model", summary="What is served", responses=_problems(401))
    async def model() -> ModelAnswer:
        """Labels, limits, and what the model scored."""
        return ModelAnswer(
            name=service.name,
            labels=list(service.classifier.labels),
            multi_label=service.classifier.multi_label,
            explains=service.explainer is not None,
            min_confidence=service.min_confidence,
            limits=asdict(service.limits),
            metrics=dict(service.metrics),
            version=__version__,
        )

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Does it answer?")
    async def health() -> Health:
        """For load balancers; needs no token."""
        return Health(status="ok")

    # an object is named as the response, so that the framework makes no model of the annotation
    @app.get("/metrics", summary="For Prometheus", response_class=Response, response_model=None)
    async def metrics() -> object:
        """Counts and timings of all workers together."""
        content, kind = counted.page()
        return Response(content, headers={"content-type": kind})


def _add_pages(app: FastAPI) -> None:
    from fastapi.responses import Response

    def add(path: str, asset: Asset) -> None:
        async def page() -> object:
            return Response(asset.content, headers=asset.headers)

        app.add_api_route(
            path, page, methods=["GET", "HEAD"], include_in_schema=False, response_model=None
        )

    for path, asset in load_assets().items():
        add(path, asset)
