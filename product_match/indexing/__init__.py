"""Takes products in: checks them, writes them to the catalogue, and answers with receipts."""
