"""The report as one HTML file: no script, no network, nothing outside of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.resources import files

from ulmfit.apps.report.classes import classes
from ulmfit.apps.report.examples import label_errors, mistakes
from ulmfit.apps.report.facts import data_summary, next_steps, settings
from ulmfit.apps.report.headline import headline
from ulmfit.apps.report.highlights import highlights
from ulmfit.apps.report.learning import learning
from ulmfit.apps.report.markup import Markup, join, tag
from ulmfit.apps.report.overlap import overlap
from ulmfit.apps.report.subject import Section, Subject
from ulmfit.apps.report.trust import trust

# Even a fault in the escaping could not run or fetch anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def report_page(subject: Subject) -> bytes:
    """The whole report, UTF-8; at most a few megabytes whatever the data.

    Takes time linear in the data: seconds for tens of thousands of texts.
    """
    sections = list(_sections(subject))
    title = f"{subject.name}: report"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"ulmfit {version('ulmfit')}"),
        tag("title", title),
        tag("style", Markup(_style())),
    )
    body = tag(
        "body",
        tag("a", "Skip to the result", href="#result", class_="skip"),
        _header(subject),
        tag(
            "div",
            _contents(sections),
            tag("main", [_section(each) for each in sections]),
            class_="frame",
        ),
        _footer(),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n".encode()


def _sections(subject: Subject) -> Iterator[Section]:
    yield headline(subject)
    tested = subject.tested
    if tested is not None:
        yield classes(tested)
        yield trust(tested, subject.labels)
        yield mistakes(tested)
        words = highlights(subject, tested)
        if words is not None:
            yield words
        yield label_errors(subject, tested)
        if subject.train is not None:
            yield overlap(tested, subject.train)
    for section in (learning(subject.log), data_summary(subject), settings(subject)):
        if section is not None:
            yield section
    if subject.steps:
        yield next_steps(subject)


def _style() -> str:
    return files("ulmfit.apps.report").joinpath("style.css").read_text("utf-8")


def _header(subject: Subject) -> Markup:
    directions = " and ".join(member.direction for member in subject.predictor.members)
    kind = "any number of" if subject.multi_label else "one of"
    said = f"Text classifier: {kind} {len(subject.labels):,} labels, reads {directions}"
    made = tag("time", f"{subject.made:%-d %B %Y, %H:%M}", datetime=subject.made.isoformat())
    return tag(
        "header",
        tag("p", "ulmfit report", class_="brand"),
        tag("h1", subject.name, dir="auto"),
        tag("p", said, " · ", made, class_="more"),
    )


def _contents(sections: Sequence[Section]) -> Markup:
    links = [tag("li", tag("a", each.title, href=f"#{each.anchor}")) for each in sections]
    return tag("nav", tag("ol", links), aria_label="Contents")


def _section(section: Section) -> Markup:
    return tag(
        "section",
        tag("h2", section.title, id=f"{section.anchor}-title"),
        tag("p", section.lead, class_="lead") if section.lead else None,
        section.body,
        id=section.anchor,
        aria_labelledby=f"{section.anchor}-title",
    )


def _footer() -> Markup:
    said = (
        f"Written by ulmfit {version('ulmfit')}. This file quotes texts and labels of the data: "
        "whoever has it can read them."
    )
    return join([tag("footer", tag("p", said))])
