"""Incidents into people's tools: Alertmanager, chat, paging services, any webhook."""
