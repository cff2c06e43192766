"""How predictions become answers: one module a task kind, found by name, so that a training does not depend on it.

The wording of a model card or a parameter of a request would otherwise train every model again.
"""
