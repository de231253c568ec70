"""Errors that show where in a query they are, in Salesforce's words."""

from __future__ import annotations

from local.salesforce.errors import ApiError

_AROUND = 40
_CUSTOM_FIELD = "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name."
_CUSTOM_OBJECT = "If you are attempting to use a custom object, be sure to append the '__c' after the entity name."
_CUSTOM_PATH = _CUSTOM_FIELD.replace(" field", " relationship").replace("__c", "__r")
_WSDL = "Please reference your WSDL or the describe call for the appropriate names."


def at(text: str, position: int, code: str, message: str) -> ApiError:
    """Return an error at a place of the query: its surroundings, a caret below, row and column from 1."""
    position = min(position, len(text))
    row = text.count("\n", 0, position) + 1
    line_start = text.rfind("\n", 0, position) + 1
    line_end = text.find("\n", position)
    column = position - line_start
    line = text[line_start : len(text) if line_end < 0 else line_end]
    begin = max(0, column - _AROUND)
    shown = line[begin : column + _AROUND]
    where = f"\n{shown}\n{' ' * (column - begin)}^\nERROR at Row:{row}:Column:{column + 1}\n"
    return ApiError(code, where + message)


def no_such_field(text: str, position: int, field: str, entity: str) -> ApiError:
    """Return the error for a field that the object does not have."""
    message = f"No such column '{field}' on entity '{entity}'. {_CUSTOM_FIELD} {_WSDL}"
    return at(text, position, "INVALID_FIELD", message)


def no_such_object(text: str, position: int, name: str) -> ApiError:
    """Return the error for an object that is not there."""
    return at(text, position, "INVALID_TYPE", f"sObject type '{name}' is not supported. {_CUSTOM_OBJECT} {_WSDL}")


def no_such_relationship(text: str, position: int, name: str) -> ApiError:
    """Return the error for a path whose first part is no relationship."""
    message = f"Didn't understand relationship '{name}' in field path. {_CUSTOM_PATH} {_WSDL}"
    return at(text, position, "INVALID_FIELD", message)
