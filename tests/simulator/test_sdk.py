"""The vendor's own clients read the service without knowing what it is."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alibabacloud_tea_openapi.exceptions import ClientException
from alibabacloud_tea_openapi.models import Config

from exporter.simulator.faults import Fault
from exporter.simulator.fleet import Fleet, populate
from exporter.simulator.protocol import SimulatedAccount
from exporter.simulator.service import Service
from exporter.simulator.simulated_server import RunningServer, start
from exporter.simulator.task_maker import seeded
from tests.simulator.support import ACCOUNT

# The vendor's clients date a request by datetime.utcnow(), which Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcnow\(\):DeprecationWarning")


class Vendor:
    """The vendor's client on a local service; `how` is which of its two sides is used."""

    def __init__(self, service: Service, server: RunningServer, how: str) -> None:
        self.service = service
        self._server = server
        self._how = how

    async def list(self, account: SimulatedAccount = ACCOUNT, **parameters: str) -> Any:
        """Call the operation and return the body as the vendor's model."""
        # Their import takes 0.3 s, and all workers import all files of tests.
        from alibabacloud_live20161101.client import Client  # noqa: PLC0415 - see above
        from alibabacloud_live20161101.models import ListRtcMPUTaskDetailRequest  # noqa: PLC0415 - see above

        client = Client(
            Config(
                access_key_id=account.access_key_id,
                access_key_secret=account.access_key_secret,
                security_token=account.security_token,
                endpoint=self._server.url.removeprefix("http://"),
                protocol="http",
            )
        )
        request = ListRtcMPUTaskDetailRequest(**parameters)
        if self._how == "async":
            response = await client.list_rtc_mputask_detail_async(request)
        else:
            response = await asyncio.to_thread(client.list_rtc_mputask_detail, request)
        return response.body


@pytest.fixture(params=["sync", "async"])
async def vendor(request: pytest.FixtureRequest) -> AsyncIterator[Vendor]:
    """An app of 230 tasks, behind a server, with the real clock."""
    fleet = Fleet(time.time)
    populate(fleet, "app", 230, random=seeded(1, "app"), started_at=time.time())
    service = Service([ACCOUNT], fleet, now=time.time)
    server = await start(service)
    yield Vendor(service, server, request.param)
    await server.close()


async def test_it_pages_through_an_app(vendor: Vendor) -> None:
    """Three pages are all 230 tasks in list order, and no signature was found wanting."""
    found = []
    for page_no in ("1", "2", "3"):
        body = await vendor.list(app_id="app", page_no=page_no, page_size="100")
        found += [task.task_id for task in body.mputasks]
    assert found == [row.task_id for row in vendor.service.fleet.apps["app"].order]
    assert vendor.service.statistics.by_error == {}


async def test_it_looks_up_a_task(vendor: Vendor) -> None:
    """A look-up brings the whole task into the vendor's model."""
    row = next(iter(vendor.service.fleet.apps["app"].order))
    vendor.service.fleet.update("app", row.task_id, {"TranscodeParams": {"EncodeParams": {"VideoBitrate": "1234"}}})
    body = await vendor.list(app_id="app", task_id=row.task_id)
    (task,) = body.mputasks
    assert task.task_id == row.task_id
    assert task.transcode_params.encode_params.video_bitrate == "1234"


async def test_it_understands_the_errors(vendor: Vendor) -> None:
    """Codes and statuses come out as those of the vendor's own exceptions."""
    with pytest.raises(ClientException) as unknown_app:
        await vendor.list(app_id="unknown", page_no="1", page_size="100")
    assert (unknown_app.value.code, unknown_app.value.statusCode) == ("InvalidAppId", 400)
    with pytest.raises(ClientException) as wrong_key:
        await vendor.list(SimulatedAccount("nobody", "secret", ()), app_id="app", page_no="1", page_size="100")
    assert (wrong_key.value.code, wrong_key.value.statusCode) == ("InvalidAccessKeyId.NotFound", 404)
    vendor.service.faults.add(Fault("forbidden_ram"))
    with pytest.raises(ClientException) as forbidden:
        await vendor.list(app_id="app", page_no="1", page_size="100")
    assert (forbidden.value.code, forbidden.value.statusCode) == ("Forbidden.RAM", 403)


async def test_it_signs_with_a_temporary_token(vendor: Vendor) -> None:
    """A temporary key's token is signed as the service wants it."""
    temporary = SimulatedAccount("temporary-id", "temporary-secret", ("app",), security_token="token/with+signs=")
    service = Service([temporary], vendor.service.fleet, now=time.time)
    server = await start(service)
    body = await Vendor(service, server, vendor._how).list(temporary, app_id="app", page_no="1", page_size="7")
    assert len(body.mputasks) == 7
    await server.close()
