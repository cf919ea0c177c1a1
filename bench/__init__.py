"""How fast Havok is, next to what one would use instead.

Nouns: a *peer* is a server that answers the same lookups; a *drive* is one way of loading
a running peer; a *round* is one measured stretch of a drive; a *bar* is what a figure must
reach. Commands: `python -m bench.http`, `bench.load`, `bench.swap` and `bench.start`; the
`test_*.py` beside them are pytest-benchmark suites of single parts.

It must not know how Havok is built: it drives the program through its commands, its ports
and its loader, and only the suites import the rooms whose parts they time.
"""
