"""Who runs where, and what happens when it goes wrong.

Floor 2. Nouns: *supervisor* (starts and restarts the others, serves no data), *gate*
(accepts and hands sockets on), *worker* (serves one compartment), *ledger* (the
supervisor's facts, numbered), *replica* (a follower's copy), *bulletin* (one change),
*channel* (connections passed between processes). Must not know how data becomes a
snapshot: it reads pointers and manifests and never writes them.
"""
