"""The paper loop: 39 times (record 50 labels, refit, choose 50), through gRPC."""
