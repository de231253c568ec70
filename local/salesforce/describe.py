"""What the organisation knows about its objects, in the shape of Salesforce's answers."""

from __future__ import annotations

from typing import Any

from local.salesforce.metadata import IDS, NUMBERS, Catalog, FieldMeta, ObjectMeta


def describe(catalog: Catalog, name: str, version: str) -> dict[str, Any]:
    """Return the answer to `sobjects/NAME/describe`."""
    meta = catalog[name]
    return {
        **summary(meta, version),
        "actionOverrides": [],
        "childRelationships": [
            {
                "cascadeDelete": reference.cascade_delete,
                "childSObject": child.name,
                "deprecatedAndHidden": False,
                "field": reference.name,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": reference.child_relationship_name,
                "restrictedDelete": False,
            }
            for child, reference in catalog.children(meta.name)
        ],
        "compactLayoutable": True,
        "fields": [describe_field(f) for f in meta.all_fields],
        "namedLayoutInfos": [],
        "networkScopeFieldName": None,
        "recordTypeInfos": [],
        "searchLayoutable": True,
        "supportedScopes": [{"label": f"All {meta.label_plural or meta.label}", "name": "everything"}],
    }


def summary(meta: ObjectMeta, version: str) -> dict[str, Any]:
    """Return one entry of the global describe."""
    path = f"/services/data/v{version}/sobjects/{meta.name}"
    return {
        "activateable": False,
        "createable": True,
        "custom": meta.name.endswith("__c"),
        "customSetting": False,
        "deletable": True,
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isInterface": False,
        "isSubtype": False,
        "keyPrefix": meta.key_prefix,
        "label": meta.label,
        "labelPlural": meta.label_plural or f"{meta.label}s",
        "layoutable": True,
        "mergeable": meta.mergeable,
        "mruEnabled": True,
        "name": meta.name,
        "queryable": meta.queryable,
        "replicateable": meta.replicateable,
        "retrieveable": True,
        "searchable": True,
        "triggerable": True,
        "undeletable": meta.undeletable,
        "updateable": True,
        "urls": {
            "sobject": path,
            "describe": f"{path}/describe",
            "rowTemplate": f"{path}/{{ID}}",
        },
    }


def describe_field(meta: FieldMeta) -> dict[str, Any]:
    """Return one entry of `fields` of an object's describe."""
    searchable = meta.searchable
    digits = meta.precision if meta.type == "int" else 0
    precision = 0 if meta.type == "int" else meta.precision or (18 if meta.type in NUMBERS else 0)
    return {
        "aggregatable": searchable,
        "aiPredictionField": False,
        "autoNumber": False,
        "byteLength": meta.most_characters * 3 if meta.type not in IDS else 18,
        "calculated": meta.calculated,
        "calculatedFormula": None,
        "cascadeDelete": meta.cascade_delete,
        "caseSensitive": False,
        "compoundFieldName": meta.compound_field_name,
        "controllerName": None,
        "createable": meta.createable and not meta.calculated and meta.type != "address",
        "custom": meta.custom,
        "defaultValue": meta.default,
        "defaultValueFormula": None,
        "defaultedOnCreate": meta.type == "boolean" or meta.default is not None,
        "dependentPicklist": False,
        "deprecatedAndHidden": meta.deprecated_and_hidden,
        "digits": digits or (9 if meta.type == "int" else 0),
        "displayLocationInDecimal": False,
        "encrypted": False,
        "externalId": meta.external_id,
        "extraTypeInfo": None,
        "filterable": searchable,
        "filteredLookupInfo": None,
        "formulaTreatNullNumberAsZero": False,
        "groupable": searchable and meta.type not in ("datetime", "double", "currency", "percent"),
        "highScaleNumber": False,
        "htmlFormatted": False,
        "idLookup": meta.type == "id" or meta.external_id,
        "inlineHelpText": None,
        "label": meta.label or meta.name.removesuffix("__c").replace("_", " "),
        "length": meta.most_characters,
        "mask": None,
        "maskType": None,
        "name": meta.name,
        "nameField": meta.name_field,
        "namePointing": len(meta.reference_to) > 1,
        "nillable": meta.nillable,
        "permissionable": meta.custom,
        "picklistValues": [
            {
                "active": True,
                "defaultValue": value == meta.default,
                "label": value,
                "validFor": None,
                "value": value,
            }
            for value in meta.picklist
        ],
        "polymorphicForeignKey": len(meta.reference_to) > 1,
        "precision": precision,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": list(meta.reference_to),
        "relationshipName": meta.relationship_name,
        "relationshipOrder": None,
        "restrictedDelete": False,
        "restrictedPicklist": meta.restricted_picklist,
        "scale": meta.scale,
        "searchPrefilterable": meta.type == "reference",
        "soapType": meta.soap_type,
        "sortable": searchable and meta.type != "multipicklist",
        "type": meta.type,
        "unique": meta.unique,
        "updateable": meta.updateable and not meta.calculated and meta.type != "address",
        "writeRequiresMasterRead": False,
    }
