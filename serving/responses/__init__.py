"""Define the API's response bodies, one msgspec Struct each; the OpenAPI document uses them.

Responses are built as dicts by scoring and database; the contract test validates all of them
against these Structs.
"""
