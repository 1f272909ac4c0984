"""Ids in URLs: meetergo's may hold any character."""

from werkzeug.routing import Map, PathConverter


class IdConverter(PathConverter):
    """An id in a URL: any text, also with slashes at its beginning and end, and with line ends.

    Except NUL, which PostgreSQL refuses, so no id has it.
    """

    regex = r"[^\x00]+?"
    part_isolating = False


def route_ids(url_map: Map) -> None:
    """Let an app's routes have ids, as `<id:name>`. Two slashes in one stay two: it is another id than with one."""
    url_map.converters["id"] = IdConverter
    url_map.merge_slashes = False
