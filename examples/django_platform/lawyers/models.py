"""The platform's own tables, and those of meetergo-inbox: `managed = False` keeps migrations away from them."""

from django.db import models


class Lawyer(models.Model):
    """A lawyer of the platform. The id, as text, is `external_id` at meetergo-inbox."""

    name = models.TextField()
    email = models.EmailField(unique=True)
    has_news = models.BooleanField(default=False)


class ProcessedEvent(models.Model):
    """The webhook-id of an event that was processed: a repeat is ignored."""

    id = models.CharField(max_length=64, primary_key=True)


class PlatformUser(models.Model):
    """A host, for meetergo-inbox: the platform writes these rows."""

    external_id = models.CharField(max_length=255, unique=True)
    meetergo_user_id = models.CharField(max_length=255, unique=True, null=True)
    email = models.CharField(max_length=320, null=True)
    name = models.TextField(null=True)
    timezone = models.CharField(max_length=64, default="Europe/Berlin")
    language = models.CharField(max_length=16, default="en")
    channels = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "platform_users"


class Booking(models.Model):
    """A booking, to read."""

    id = models.CharField(max_length=255, primary_key=True)
    revision = models.IntegerField()
    status = models.CharField(max_length=9)
    platform_user = models.ForeignKey(PlatformUser, models.DO_NOTHING, null=True)
    external_id = models.CharField(max_length=255, null=True)
    starts_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    meeting_type_id = models.CharField(max_length=255, null=True)
    meeting_name = models.TextField(null=True)
    meeting_link = models.TextField(null=True)
    location = models.TextField(null=True)
    attendees = models.JSONField()
    host_ids = models.JSONField()
    metadata = models.JSONField()
    cancel_reason = models.TextField(null=True)
    cancelled_by = models.TextField(null=True)
    as_of = models.DateTimeField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "bookings_v1"


class BookingHost(models.Model):
    """A host of a booking, co-hosts included. Django asks for a key, and the view has none: use it in filters only."""

    booking_id = models.CharField(max_length=255, primary_key=True)
    meetergo_user_id = models.CharField(max_length=255, null=True)
    external_id = models.CharField(max_length=255, null=True)
    is_owner = models.BooleanField()

    class Meta:
        managed = False
        db_table = "booking_hosts_v1"
