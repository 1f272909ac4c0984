"""What the metrics server makes of the files in which processes count."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from runtime.http.metrics_server import register_collector


def test_a_process_that_has_just_created_its_file_does_not_break_a_scrape(tmp_path: Path) -> None:
    counted = MmapedDict(str(tmp_path / "counter_1.db"))
    counted.write_value(mmap_key("seen", "seen_total", [], [], "What was seen."), 3.0, 0.0)
    counted.close()
    (tmp_path / "counter_2.db").touch()
    registry = CollectorRegistry()
    register_collector(registry, tmp_path)
    assert b"seen_total 3.0" in generate_latest(registry)
