"""Everything a person touches: the commands and the admin plane.

Floor 3, over everything else. The nouns: the *workplace* is the configuration a command
was pointed at; the *node* is the running supervisor as a command sees it, through its
control socket; the *terminal* is where facts are printed, for people or with `--json` for
machines. Nothing here decides what is served: commands ask the loader or the supervisor.
"""
