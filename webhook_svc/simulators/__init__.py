"""One sender a file: a stand-in for the provider that signs callbacks, serves its API, and misbehaves on demand."""

from pathlib import Path

from ..core.registry import Entry, Registry, TomlFiles

SIMULATORS = Registry(
    "webhook_svc.simulators",
    {
        "anvil": Entry(target="webhook_svc.simulators.anvil:AnvilSimulator"),
        "docusign": Entry(target="webhook_svc.simulators.docusign:DocusignSimulator"),
        "esignon": Entry(target="webhook_svc.simulators.esignon:EsignonSimulator"),
        "firma": Entry(target="webhook_svc.simulators.firma:FirmaSimulator"),
        "generic": Entry(target="webhook_svc.simulators.generic:GenericSimulator"),
        "indexhealth": Entry(target="webhook_svc.simulators.indexhealth:IndexHealthSimulator"),
        "okdokument": Entry(target="webhook_svc.simulators.okdokument:OkdokumentSimulator"),
        "telnyx": Entry(target="webhook_svc.simulators.telnyx:TelnyxSimulator"),
    },
    TomlFiles(folder=Path(__file__).parent, target="webhook_svc.simulators.described:kind_of"),
)
