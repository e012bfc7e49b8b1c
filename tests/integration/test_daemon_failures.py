"""What the daemon does when the API misbehaves: results go on, money is not wasted, the log says it once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.daemon_bed import Daemon, Simulator, config, daemon, eventually, simulator


async def stream_ids(gateway: Simulator) -> list[str]:
    return list((await gateway.ledger())["streams"])


async def test_a_dropped_results_socket_is_opened_again_on_the_same_stream(media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.act("drop_sockets")
        assert await running.more_results(3)
        assert len(await stream_ids(gateway)) == 1


async def test_ten_seconds_of_503_cost_no_stream(media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net, "--lease-ttl", "20") as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.faults({"fault": "status", "status": 503, "for": 10})
        await gateway.act("drop_sockets")
        await eventually(lambda: "503" in running.said(), "the failure in the log")
        await eventually(lambda: "works again" in running.said(), "the recovery in the log")
        assert await running.more_results(3)
        assert len(await stream_ids(gateway)) == 1
        assert running.said().count("keepalive: 503") == 1, "said once"


async def test_a_lease_that_ran_out_gives_a_new_stream_at_once_and_a_gap_is_told(
    media_net: str, tmp_path: Path
) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.act("expire_leases")
        await eventually(lambda: running.records("gap"), "a gap record")
        assert len(await stream_ids(gateway)) == 2
        states = [record["state"] for record in running.records("state") if "camera" not in record]
        assert states == ["live", "waiting", "live"]


async def test_after_a_deploy_inference_is_asked_for_at_once(media_net: str, tmp_path: Path) -> None:
    """Not only at the next regular keepalive, which is 20 s away."""
    async with (
        simulator(tmp_path, "--advertise", media_net, "--lease-ttl", "300") as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.act("deploy")
        await running.more_results(3, bound=10)
        assert len(await stream_ids(gateway)) == 1


@pytest.mark.parametrize("ttl", ["6", "null"])
async def test_the_lease_is_kept_whatever_its_length(ttl: str, media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net, "--lease-ttl", ttl) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(40)
        assert len(await stream_ids(gateway)) == 1


@pytest.mark.parametrize("kind", ["not_json", "not_object", "missing_fields", "wrong_types"])
async def test_a_malformed_message_is_left_out_and_those_after_it_count(
    kind: str, media_net: str, tmp_path: Path
) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.faults({"fault": "malformed", "kind": kind, "count": 2})
        await eventually(lambda: "not a result, left out" in running.said(), "the malformed message in the log")
        assert await running.more_results(3)
        assert len(await stream_ids(gateway)) == 1


async def test_unknown_fields_are_kept(media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        known = set((await running.more_results(1))[0]["api"])
        await gateway.faults({"fault": "malformed", "kind": "unknown_fields"})
        await eventually(lambda: set(running.records()[-1]["api"]) - known, "an unknown field in a record")


async def refused(running: Daemon) -> None:
    await eventually(lambda: "1 refused" in running.heard(), "the refusal in the status")


async def test_no_credits_is_told_and_not_asked_fast(media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.act("credits")
        await refused(running)
        assert "no credits are left" in running.said()
        # Asked again after 30 s at the earliest; fast would be several times in the second that these results take.
        asked = (await gateway.ledger())["requests"]
        assert sum(count for name, count in asked.items() if name.startswith("createStream")) == 1


async def test_what_the_api_refuses_stops_this_stream_and_names_the_field(media_net: str, tmp_path: Path) -> None:
    """A model that only the API can know to be wrong."""
    wrong = {"inference": {"prompt": "?", "model": "no/such-model"}}
    async with (
        simulator(tmp_path, "--advertise", media_net) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={}, wrong=wrong)) as running,
    ):
        await eventually(lambda: "1 stopped" in running.heard(), "the stopped stream in the status")
        assert "no/such-model" in running.said()
        assert await running.more_results(1)


async def test_an_api_that_is_down_at_the_start_is_waited_for(media_net: str, tmp_path: Path) -> None:
    async with simulator(tmp_path, "--advertise", media_net) as gateway:
        await gateway.faults({"fault": "status", "status": 503, "count": 3})
        async with daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running:
            assert await running.more_results(1)
            assert "503" in running.said()


async def test_an_end_while_an_attempt_closes_does_not_cut_its_delete_off(media_net: str, tmp_path: Path) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net, "--lease-ttl", "6") as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        await running.more_results(1)
        await gateway.faults(
            {"fault": "status", "status": 402, "operation": "keepalive"},
            {"fault": "latency", "seconds": 2.0, "operation": "closeStream"},
        )
        await eventually(lambda: "no credits" in running.said(), "the end of the attempt")
        assert await running.end() == 0
        assert "not closed at the API" not in running.said()
        assert [billed["end_reason"] for billed in await gateway.streams()] == ["client_requested"]
