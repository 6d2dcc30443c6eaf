"""What the API answers: a msgspec Struct per body, from which the OpenAPI document is made.

Answers come out of the scoring and the database as dicts and are sent as they are; the contract
test holds every one of them against these.
"""
