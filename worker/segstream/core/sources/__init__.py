"""Sources that do not speak the Segment spec: their documents become events of it, as the definitions say.

Examples
--------
>>> survey = Mapping(
...     "surveys",
...     "survey-answers",
...     "track",
...     name=Constant("Survey Answered"),
...     user=compile_path("respondent.id"),
...     values={"score": compile_path("answers.nps")},
... )
>>> survey.event({"respondent": {"id": 42}, "answers": {"nps": 9}})
{'type': 'track', 'event': 'Survey Answered', 'userId': 42, 'properties': {'score': 9}}
"""

from segstream.core.sources.mapping import Constant, Mapping, TopicSource
from segstream.core.sources.paths import Path, PathError, compile_path

__all__ = ["Constant", "Mapping", "Path", "PathError", "TopicSource", "compile_path"]
