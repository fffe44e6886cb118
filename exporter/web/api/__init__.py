"""The JSON that scripts read, below `/api/v1/`.

`endpoints.py` declares what there is, `parameters.py` what can be asked and `documents.py` what is answered: the
OpenAPI document of `openapi.py` is made of these. `query.py` reads parameters; `apps.py`, `tasks.py`, `changes.py`,
`violations.py` and `rules.py` find what is asked for; `pages.py` bounds an answer, `answer.py` sends it, and
`routes.py` puts all of them together.
"""
