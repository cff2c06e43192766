"""Behavioural tests of a model: what it must answer, what must not change its mind, what must move it.

The three kinds are those of CheckList (Ribeiro et al., ACL 2020): minimum functionality, invariance, direction.
Everything here is pure: a suite, a function that scores texts, rows and a seed give a table.
"""
