"""Which workers are old enough to be replaced: by the memory they have, or the requests they served.

Rule: pure. A leak, or a heap in pieces, is worth less worry when no worker lives for ever; who is
due is replaced like any other (`renewals`), so that no request fails.
"""

from havok.messages import Report
from havok.settings import CompartmentSettings


def due(settings: CompartmentSettings, report: Report) -> str | None:
    """Why a worker is to be replaced, in words; None while it is not."""
    if settings.max_rss_mb is not None and report.rss_mb > settings.max_rss_mb:
        return f"it has {report.rss_mb:.0f} MB, over max_rss_mb = {settings.max_rss_mb}"
    if settings.max_requests is not None and report.requests > settings.max_requests:
        return f"it served {report.requests} requests, over max_requests = {settings.max_requests}"
    return None
