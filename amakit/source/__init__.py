"""Where rows come from: ``connect()``, one face over the embedded engine and over the service."""
