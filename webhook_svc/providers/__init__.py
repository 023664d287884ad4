"""One sender a file: `<name>.py`, or `<name>.toml` where a profile is enough."""

from pathlib import Path

from ..core.registry import Entry, Registry, TomlFiles

PROVIDERS = Registry(
    "webhook_svc.providers",
    {
        "anvil": Entry(target="webhook_svc.providers.anvil:Anvil"),
        "docusign": Entry(target="webhook_svc.providers.docusign:Docusign"),
        "esignon": Entry(target="webhook_svc.providers.esignon:Esignon"),
        "firma": Entry(target="webhook_svc.providers.firma:Firma"),
        "generic": Entry(target="webhook_svc.providers.generic:Generic"),
        "indexhealth": Entry(target="webhook_svc.providers.indexhealth:IndexHealth"),
        "okdokument": Entry(target="webhook_svc.providers.okdokument:Okdokument"),
        "telnyx": Entry(target="webhook_svc.providers.telnyx:Telnyx"),
    },
    TomlFiles(folder=Path(__file__).parent, target="webhook_svc.profiles.kinds:kind_of"),
)
