"""Where rows come from: files through the embedded engine, or a service that is asked."""
