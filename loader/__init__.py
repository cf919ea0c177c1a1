"""How data becomes a snapshot version, and how versions live, return and leave.

Floor 1, over `havok` alone. The nouns: a *source* (files or a SELECT) is read into a
*twin* (`rows.parquet`, typed and sorted by key), from which *rows* (`rows.mdb`) are
rendered and sealed; *quality* gates judge the candidate; *publish* runs the numbered
cycle; the *catalogue* knows the versions and the pointer; *retention* collects old ones;
*diff* and *verify* compare what is on disk.

It must not know the engine that answers requests, nor any process: what a running node
does with a version is behind `publish.NodeHooks`.
"""
