"""The demo: the main job from webhook to notification, told step by step."""
