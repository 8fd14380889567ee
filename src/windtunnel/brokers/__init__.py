"""The room for brokers: the only place that knows how Valkey and RabbitMQ differ.

interface.py says what the rest may ask, choice.py gives the broker of a stack or of a URL.
Imports settings and below.
"""
