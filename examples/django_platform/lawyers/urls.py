"""The platform's addresses."""

from django.urls import path

from lawyers import views

urlpatterns = [
    path("lawyers/<int:lawyer_id>/bookings", views.bookings),
    path("hooks/bookings", views.event),
]
