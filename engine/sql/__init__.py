"""The SQL front: one SELECT, as a service's configuration has it, to a plan.

Nouns: *statement* (the parsed text, and how a refusal points into it), *scope* (the tables
and parameters a name can mean), *resolver* (syntax to typed `engine.queries.expression`s), *front*
(the whole way to a plan). It runs in the supervisor and in commands; a worker, which gets
finished plans, must not import it.
"""
