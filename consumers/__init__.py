"""The Kafka bridge and its sisters."""
