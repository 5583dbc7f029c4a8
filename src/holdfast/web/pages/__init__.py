"""The dashboard: server-rendered pages over `holdfast.control.service.reading`, each with its JSON twin."""
