"""A lawyer's bookings, and the endpoint that meetergo-inbox posts to."""

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from standardwebhooks import Webhook, WebhookVerificationError

from lawyers.models import Booking, BookingHost, Lawyer, ProcessedEvent


def bookings(request: HttpRequest, lawyer_id: int) -> HttpResponse:
    """The bookings that a lawyer hosts, alone or with others."""
    hosted = BookingHost.objects.filter(external_id=str(lawyer_id)).values("booking_id")
    found = Booking.objects.filter(id__in=hosted).order_by("starts_at")
    columns = ("id", "status", "starts_at", "meeting_name", "attendees", "external_id")
    return JsonResponse({"bookings": list(found.values(*columns))})


@csrf_exempt
@require_POST
def event(request: HttpRequest) -> HttpResponse:
    """Verifies the signature, ignores repeats, and acts in one transaction."""
    try:
        content = Webhook(settings.NOTIFY_SIGNING_SECRET).verify(request.body, dict(request.headers))
    except WebhookVerificationError:
        return HttpResponse(status=401)  # is sent again for an hour, as while the secret is changed
    with transaction.atomic():
        _, is_new = ProcessedEvent.objects.get_or_create(id=request.headers["webhook-id"])
        host = content["data"]["host"]
        if is_new and host:
            Lawyer.objects.filter(id=host["external_id"]).update(has_news=True)
    return HttpResponse(status=204)
