"""Where rows come from: files through the embedded engine, or Azure through its clients."""
