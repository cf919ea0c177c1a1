"""Compiled queries: what a SELECT means, the code it becomes, and what that code runs on.

Nouns: query, expression, access, seek, scan, block, page. It must not know SQL's text (`engine.sql`) nor
HTTP.
"""
