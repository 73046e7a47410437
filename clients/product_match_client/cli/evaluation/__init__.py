"""What `product-match evaluate` asks, and the tables it prints."""
