"""Photos over many devices and machines: a manifest, a ledger, workers, and what starts them."""
