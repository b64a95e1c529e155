"""From a context to one HTML file that loads nothing: templates, and how numbers are written."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

NOTHING = "\N{EN DASH}"
_STYLE = "style.css"


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page of a template in `templates/`; texts are escaped, numbers by the filters below."""
    pages = _environment()
    assert pages.loader
    style, *_ = pages.loader.get_source(pages, _STYLE)
    return pages.get_template(template).render({"style": Markup(style), **context})


@cache
def _environment() -> Environment:
    pages = Environment(
        loader=PackageLoader("export.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "count": count,
        "short": short,
        "ulps": ulps,
        "date": date,
        "breakable": breakable,
    }
    return pages


def count(number: float) -> str:
    """A whole number.

    >>> count(920439)
    '920,439'
    """
    return f"{number:,}"


def short(number: float | None) -> str:
    """Three digits, and a dash for nothing.

    >>> short(0.012345), short(0.0), short(1234.6), short(None) == NOTHING
    ('0.0123', '0', '1,235', True)
    """
    if number is None:
        return NOTHING
    if math.isinf(number):
        return "infinite"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def ulps(number: float | None) -> str:
    """A distance in representable numbers; a dash where it has no meaning.

    >>> ulps(262144.0), ulps(0.5), ulps(2138608689.0), ulps(float("nan")) == NOTHING
    ('262,144', '0.5', '2.1e+09', True)
    """
    if number is None or math.isnan(number):
        return NOTHING
    # Of what is wrong beyond doubt, all digits would only widen the table.
    if number >= 1e6:
        return f"{number:.2g}"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def breakable(name: str) -> Markup:
    """A name that may be broken behind its underscores, where a line ends.

    >>> breakable("<a_b>")
    Markup('&lt;a_<wbr>b&gt;')
    """
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def date(text: str) -> str:
    """A time as people write it.

    >>> date("2026-11-25T10:46:19+00:00")
    '2026-11-25 10:46 UTC'
    """
    return f"{datetime.datetime.fromisoformat(text):%Y-%m-%d %H:%M %Z}"
