from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Booking",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("revision", models.IntegerField()),
                ("status", models.CharField(max_length=9)),
                ("external_id", models.CharField(max_length=255, null=True)),
                ("starts_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField(null=True)),
                ("meeting_type_id", models.CharField(max_length=255, null=True)),
                ("meeting_name", models.TextField(null=True)),
                ("meeting_link", models.TextField(null=True)),
                ("location", models.TextField(null=True)),
                ("attendees", models.JSONField()),
                ("host_ids", models.JSONField()),
                ("metadata", models.JSONField()),
                ("cancel_reason", models.TextField(null=True)),
                ("cancelled_by", models.TextField(null=True)),
                ("as_of", models.DateTimeField()),
                ("created_at", models.DateTimeField()),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "db_table": "bookings_v1",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="BookingHost",
            fields=[
                ("booking_id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("meetergo_user_id", models.CharField(max_length=255, null=True)),
                ("external_id", models.CharField(max_length=255, null=True)),
                ("is_owner", models.BooleanField()),
            ],
            options={
                "db_table": "booking_hosts_v1",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="PlatformUser",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("external_id", models.CharField(max_length=255, unique=True)),
                ("meetergo_user_id", models.CharField(max_length=255, null=True, unique=True)),
                ("email", models.CharField(max_length=320, null=True)),
                ("name", models.TextField(null=True)),
                ("timezone", models.CharField(default="Europe/Berlin", max_length=64)),
                ("language", models.CharField(default="en", max_length=16)),
                ("channels", models.JSONField(null=True)),
            ],
            options={
                "db_table": "platform_users",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Lawyer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
                ("email", models.EmailField(max_length=254, unique=True)),
                ("has_news", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="ProcessedEvent",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
            ],
        ),
    ]
