from structlog.testing import capture_logs

from worker.channels import open_channel


def test_the_log_holds_ids_and_no_personal_data(make_message, settings):
    channel = open_channel("log:", settings())

    with capture_logs() as lines:
        channel.send(make_message())

    assert lines == [
        {
            "event": "notification.logged",
            "log_level": "info",
            "notification_id": "msg_0123456789abcdef0123456789abcdef",
            "kind": "created",
            "booking_id": "appt-uuid-12345",
        }
    ]


def test_the_log_is_a_shared_destination(settings):
    channel = open_channel("log:", settings())

    assert (channel.name, channel.recipient) == ("log", "log")
