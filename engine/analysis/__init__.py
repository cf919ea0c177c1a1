"""Analytical queries: what DuckDB may run over the cold twins, and running it.

Nouns: analytical, reading, verification, twins. Only an executor imports `twins`.
"""
