"""The REST API: resources, events, metrics, health. Each answer is a record that another face shows, too."""
