"""How much there is to do, measured, and what is to be done about it. Decisions; `compartments.balancer` performs them.

It must not know how a move is made.
"""
