"""What can be asked for below `/api/v1/`, as data: the routes and the OpenAPI document follow it."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from exporter.web.api import changes_api, examples, rules_api, tasks_api, violations_api
from exporter.web.api.apps_api import AppsDocument
from exporter.web.api.parameters import ACCOUNT, APP_ID, TASK_ID, Parameter
from exporter.web.api.tasks_api import TaskWithFindingsDocument

PREFIX: Final = "/api/v1/"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One path that answers GET and HEAD."""

    path: str
    operation_id: str
    summary: str
    description: str
    answer: type[Any] | None
    """The TypedDict that a 200 has; None: a JSON object that is described elsewhere."""
    example: Mapping[str, Any] | None
    """Of such an answer."""
    parameters: tuple[Parameter, ...] = ()
    """Those of the query."""
    path_parameters: tuple[Parameter, ...] = ()
    """Those in the path; where there are any, there may be a 404."""


APPS: Final = Endpoint(
    path=f"{PREFIX}apps",
    operation_id="getApps",
    summary="How it stands with each app",
    description="All configured apps, in the order of the configuration.",
    answer=AppsDocument,
    example=examples.APPS,
)
TASKS: Final = Endpoint(
    path=f"{PREFIX}tasks",
    operation_id="getTasks",
    summary="The tasks that are known",
    description=(
        "Tasks as they are configured, in the order of account, AppId and TaskId. Following the cursors shows every "
        "task that is there throughout exactly once, whatever comes and goes meanwhile."
    ),
    answer=tasks_api.TasksDocument,
    example=examples.TASKS,
    parameters=tasks_api.PARAMETERS,
)
TASK: Final = Endpoint(
    path=f"{PREFIX}tasks/{{account}}/{{app_id}}/{{task_id}}",
    operation_id="getTask",
    summary="One task, and what its rules say about it",
    description="404 where the account, the app or the task is not known.",
    answer=TaskWithFindingsDocument,
    example=examples.TASK,
    path_parameters=(ACCOUNT, APP_ID, TASK_ID),
)
CHANGES: Final = Endpoint(
    path=f"{PREFIX}changes",
    operation_id="getChanges",
    summary="What has changed lately",
    description="The newest changes of tasks that are remembered, newest first. A restart forgets them.",
    answer=changes_api.ChangesDocument,
    example=examples.CHANGES,
    parameters=changes_api.PARAMETERS,
)
VIOLATIONS: Final = Endpoint(
    path=f"{PREFIX}violations",
    operation_id="getViolations",
    summary="Tasks that are not as the rules expect",
    description=(
        "What there is to say about tasks that do not plainly pass a rule, in the order of account, AppId, rule and "
        "TaskId."
    ),
    answer=violations_api.ViolationsDocument,
    example=examples.VIOLATIONS,
    parameters=violations_api.PARAMETERS,
)
RULES: Final = Endpoint(
    path=f"{PREFIX}rules",
    operation_id="getRules",
    summary="What is expected of tasks",
    description="All rules by name, those that are switched off included.",
    answer=rules_api.RulesDocument,
    example=examples.RULES,
    parameters=rules_api.PARAMETERS,
)
OPENAPI: Final = Endpoint(
    path=f"{PREFIX}openapi.json",
    operation_id="getDescription",
    summary="This description",
    description="The OpenAPI document of this version of the exporter.",
    answer=None,
    example=None,
)

ENDPOINTS: Final = (APPS, TASKS, TASK, CHANGES, VIOLATIONS, RULES, OPENAPI)
