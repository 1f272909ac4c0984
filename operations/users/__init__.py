"""The platform's hosts as users of meetergo: import, onboarding, sync."""
