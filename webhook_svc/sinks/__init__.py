"""One destination a file."""

from ..core.registry import Entry, Registry

SINKS = Registry(
    "webhook_svc.sinks",
    {
        "apprise": Entry(target="webhook_svc.sinks.apprise:Apprise", extra="notify"),
        "azure": Entry(target="webhook_svc.sinks.azure:Azure"),
        "box": Entry(target="webhook_svc.sinks.box:Box"),
        "dropbox": Entry(target="webhook_svc.sinks.dropbox:Dropbox"),
        "email": Entry(target="webhook_svc.sinks.email:Email"),
        "folder": Entry(target="webhook_svc.sinks.folder:Folder"),
        "gcs": Entry(target="webhook_svc.sinks.gcs:Gcs"),
        "gdrive": Entry(target="webhook_svc.sinks.gdrive:GoogleDrive"),
        "http_put": Entry(target="webhook_svc.sinks.http_put:HttpPut"),
        "imap": Entry(target="webhook_svc.sinks.imap:Imap"),
        "mailgun": Entry(target="webhook_svc.sinks.mailgun:Mailgun"),
        "paperless": Entry(target="webhook_svc.sinks.paperless:Paperless"),
        "postmark": Entry(target="webhook_svc.sinks.postmark:Postmark"),
        "resend": Entry(target="webhook_svc.sinks.resend:Resend"),
        "s3": Entry(target="webhook_svc.sinks.s3:S3"),
        "sendgrid": Entry(target="webhook_svc.sinks.sendgrid:SendGrid"),
        "ses": Entry(target="webhook_svc.sinks.ses:Ses"),
        "sftp": Entry(target="webhook_svc.sinks.sftp:Sftp", extra="sftp"),
        "sharepoint": Entry(target="webhook_svc.sinks.sharepoint:SharePoint"),
        "slack": Entry(target="webhook_svc.sinks.slack:Slack"),
        "teams": Entry(target="webhook_svc.sinks.teams:Teams"),
        "webdav": Entry(target="webhook_svc.sinks.webdav:Webdav"),
        "webhook": Entry(target="webhook_svc.sinks.webhook:Webhook"),
    },
)
