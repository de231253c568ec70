"""A Salesforce organisation on this machine: a server of its own, `python -m local.salesforce SETTINGS`."""
