"""Pictures of a ledger: pure functions from recorded numbers to HTML, SVG or Markdown."""
