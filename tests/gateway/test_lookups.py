"""Network, place, device and CDN are found out where they can be, and are nothing where not."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

import config
from playhead.gateway.addresses import AddressLimit, TrustedProxies
from playhead.gateway.lookups import DatabaseError, from_settings, read_device

AGENTS = {
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148": "mobile",
    "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148": "tablet",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/125.0 Mobile Safari/537.36": "mobile",
    "Mozilla/5.0 (Linux; Android 13; SM-X710) AppleWebKit/537.36 Chrome/125.0 Safari/537.36": "tablet",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/125.0 Safari/537.36": "desktop",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/125.0 Safari/537.36": "desktop",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 SamsungBrowser/2.2 TV Safari/537.36": "tv",
    "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 Chrome/79.0 Safari/537.36 WebAppManager": "tv",
    "Roku/DVP-12.0 (12.0.0.4182-88)": "tv",
    "Mozilla/5.0 (PlayStation 5 8.00) AppleWebKit/605.1.15": "console",
    "curl/8.5.0": "",
}


def write(path: Path, rows: dict[str, dict[str, object]]) -> str:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test")
    for network, found in rows.items():
        writer.insert_network(IPSet([network]), found)
    writer.to_db_file(str(path))
    return str(path)


def test_addresses_are_looked_up_in_files_of_maxminds_format(tmp_path: Path) -> None:
    isp = write(tmp_path / "isp.mmdb", {"203.0.113.0/24": {"autonomous_system_number": 3320}})
    place = write(
        tmp_path / "place.mmdb",
        {"203.0.113.0/24": {"country": {"iso_code": "DE"}, "subdivisions": [{"iso_code": "BY"}]}},
    )
    settings = config.load(
        {
            "PLAYHEAD_CMCD__ISP_DATABASE": isp,
            "PLAYHEAD_CMCD__PLACE_DATABASE": place,
            "PLAYHEAD_CMCD__REGION_FROM": "subdivision",
            "PLAYHEAD_CMCD__CDNS": '{"cdn-a.example": "a"}',
        }
    ).settings.cmcd

    lookups = from_settings(settings)

    assert (lookups.isp("203.0.113.7"), lookups.region("203.0.113.7")) == ("3320", "DE-BY")
    assert lookups.region("::ffff:203.0.113.7") in {"DE-BY", ""}
    for unknown in ("198.51.100.1", "2001:db8::1", "testclient", ""):
        assert (lookups.isp(unknown), lookups.region(unknown)) == ("", "")
    assert lookups.cdn("CDN-A.example:443") == "a"


def test_without_databases_nothing_is_known_and_nothing_fails() -> None:
    lookups = from_settings(config.load({}).settings.cmcd)

    assert (lookups.isp("203.0.113.7"), lookups.region("203.0.113.7"), lookups.cdn("x")) == ("", "", "")


def test_a_file_that_is_no_database_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "isp.mmdb"
    path.write_bytes(b"no database")
    settings = config.load({"PLAYHEAD_CMCD__ISP_DATABASE": str(path)}).settings.cmcd

    with pytest.raises(DatabaseError, match=r"isp\.mmdb"):
        from_settings(settings)


@pytest.mark.parametrize(("user_agent", "kind"), AGENTS.items(), ids=[agent[:40] for agent in AGENTS])
def test_the_device_is_read_from_the_user_agent(user_agent: str, kind: str) -> None:
    assert read_device(user_agent).device == kind


def test_only_trusted_proxies_are_believed() -> None:
    proxies = TrustedProxies([ip_network("10.0.0.0/8")])

    assert proxies.client_of("203.0.113.1", "198.51.100.9") == "203.0.113.1"
    assert proxies.client_of("10.0.0.1", "6.6.6.6, 198.51.100.9, 10.0.0.2") == "198.51.100.9"
    assert proxies.client_of("10.0.0.1", "") == "10.0.0.1"
    assert proxies.client_of("testclient", "198.51.100.9") == "testclient"


def test_an_address_may_burst_and_then_send_at_its_rate() -> None:
    now_s = [0.0]
    limit = AddressLimit(2.0, 3.0, 2, now_s=lambda: now_s[0])

    assert [limit.admits("a") for _ in range(5)] == [True, True, True, False, False]
    assert limit.admits("b")
    now_s[0] = 1.0
    assert [limit.admits("a") for _ in range(3)] == [True, True, False]


def test_without_a_limit_all_are_admitted() -> None:
    limit = AddressLimit(0.0, 1.0, 1)

    assert all(limit.admits("a") for _ in range(100))
